"""Read and write the records of the cache: one for each verified model, and a manifest for each generation.

Other programs may have written to the volume, so reads are bounded, and a record that cannot be parsed, or that does
not fit its catalog, counts as missing. Writes are atomic and synced (`disk.atomic`), happen under the lease, and are
skipped if the file already has that content.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from model_cache.catalog.catalog import Model, generation, model_digest
from model_cache.catalog.lock import Lock
from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.layout import manifest_path, model_record_path, recorded_file_path
from model_cache.manifest import (
    FetchedFile,
    FileRecord,
    Manifest,
    ModelRecord,
    dump_manifest,
    dump_model_record,
    parse_manifest,
    parse_model_record,
)
from model_cache.places import HOST, PlaceName, Places
from model_cache.record_rules import folder_mismatch, record_mismatch

# Bytes of a file that holds one number.
_MAX_NUMBER_BYTES: Final = 40


def read_record(model: Model, places: Places, lock: Lock | None = None) -> ModelRecord | None:
    """Return the record of a verified model, from its own file or any manifest; None if there is none."""
    return read_records((model,), places, lock).get(model.key)


def read_records(
    models: Sequence[Model], places: Places, lock: Lock | None = None, *, published: str = ""
) -> dict[str, ModelRecord]:
    """Return the records of verified models by key; each manifest is read at most once.

    Args:
        models: of the catalog.
        places: of the cache.
        lock: of the catalog. A record that does not fit catalog and lock (`model_cache.record_rules`) does not count.
        published: generation of the manifest that was checked. A model's own record is ignored if it lists other files
            than this manifest. Empty: own records take precedence.
    """
    by_digest = {model_digest(model): model for model in models}

    def fits(record: ModelRecord) -> bool:
        model = by_digest.get(record.digest)
        return model is not None and not record_mismatch(record, model, lock)

    checked = _read_manifest(manifest_path(places, published)) if published else ()
    checked_files = {record.digest: frozenset(record.files) for record in checked if fits(record)}
    found: dict[str, ModelRecord] = {}
    for digest in by_digest:
        own = _read_own_record(model_record_path(places, digest))
        if own is not None and fits(own):
            files = frozenset(own.files)
            if files == checked_files.get(digest, files):
                found[own.key] = own
    if len(found) < len(by_digest):
        for record in filter(fits, chain(checked, _read_manifests(places, without=published))):
            found.setdefault(record.key, record)
    return found


def read_all_records(places: Places) -> Iterator[ModelRecord]:
    """Yield every record of a cache, of whichever catalog, whose files lie in the folder of its own source.

    Those of single models come first: only they tell which files were fetched.
    """
    for path in _json_files(places.own.path / "models"):
        record = _read_own_record(path)
        if record is not None and not folder_mismatch(record):
            yield record
    yield from (record for record in _read_manifests(places) if not folder_mismatch(record))


def _read_own_record(path: Path) -> ModelRecord | None:
    try:
        return parse_model_record(read_small_file(path))
    except (OSError, ManifestInvalid):
        return None


def _read_manifests(places: Places, without: str = "") -> Iterator[ModelRecord]:
    for path in _json_files(manifest_path(places, "").parent):
        if path.stem != without:
            yield from _read_manifest(path)


def _read_manifest(path: Path) -> tuple[ModelRecord, ...]:
    try:
        return parse_manifest(read_small_file(path)).models
    except (OSError, ManifestInvalid):
        return ()


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def make_record(
    model: Model, files: Sequence[FileRecord], fetched: Sequence[FileRecord], places: Places
) -> ModelRecord:
    """Return the record of a model from its verified files.

    Args:
        model: of the catalog.
        files: all its files.
        fetched: those that this run put into the cache. Of the others, those count as fetched that an earlier record
            says we fetched, and that nobody replaced since. Noted on a host only: elsewhere the whole cache is ours.
        places: of the cache.
    """
    ordered = tuple(sorted(files, key=lambda file: (file.place, file.path)))
    notes = _notes(ordered, fetched, places) if places.label == HOST else ()
    return ModelRecord(model_digest(model), model.key, model.source_name, model.revision, ordered, notes)


def _notes(
    files: Sequence[FileRecord], fetched: Sequence[FileRecord], places: Places
) -> tuple[FetchedFile, ...]:
    new = {(file.place, file.path) for file in fetched}
    noted = {
        (file.place, _top_folder(file), file.sha256, note.mtime)
        for record in read_all_records(places)
        if record.fetched
        for file, note in _fetched_files(record)
    }
    ours = []
    for file in files:
        mtime = read_mtime(recorded_file_path(places, file))
        is_noted = (file.place, _top_folder(file), file.sha256, mtime) in noted
        if mtime is not None and ((file.place, file.path) in new or is_noted):
            ours.append(FetchedFile(file.place, file.path, mtime))
    return tuple(ours)


def read_mtime(path: str) -> int | None:
    """Return when a file's content was changed last, in whole seconds since the epoch; None if it is missing."""
    try:
        return int(os.stat(path).st_mtime)
    except OSError:
        return None


def _fetched_files(record: ModelRecord) -> Iterator[tuple[FileRecord, FetchedFile]]:
    by_path = {(file.place, file.path): file for file in record.files}
    for note in record.fetched:
        if (file := by_path.get((note.place, note.path))) is not None:
            yield file, note


def _top_folder(file: FileRecord) -> str:
    """Return the repository of a hub file: its commits share their contents. A package's tree shares nothing."""
    return file.path.partition("/")[0] if file.place is PlaceName.HUB else file.path


def write_record(record: ModelRecord, places: Places) -> None:
    """Write the record of a model.

    Raises:
        OSError: the volume cannot be written.
    """
    _write_if_changed(model_record_path(places, record.digest), dump_model_record(record), places)


def write_manifest(models: Sequence[Model], records: Sequence[ModelRecord], places: Places) -> None:
    """Write the manifest of a whole catalog, which publishes its generation. Former manifests stay.

    Raises:
        OSError: the volume cannot be written.
    """
    name = generation(models)
    ordered = tuple(sorted(records, key=lambda record: record.key))
    _write_if_changed(manifest_path(places, name), dump_manifest(Manifest(name, ordered)), places)


def write_repository_bytes(model: Model, count: int | None, places: Places) -> None:
    """Write the size of a model's whole repository, for later plans; None (not known) writes nothing.

    Raises:
        OSError: the volume cannot be written.
    """
    if count is not None:
        _write_if_changed(_repository_bytes_path(model, places), f"{count}\n".encode(), places)


def read_repository_bytes(model: Model, places: Places) -> int | None:
    """Return the size of a model's whole repository when it was fetched; None if it is not known."""
    try:
        return int(read_small_file(_repository_bytes_path(model, places), _MAX_NUMBER_BYTES))
    except (OSError, ValueError):
        return None


def _repository_bytes_path(model: Model, places: Places) -> Path:
    return places.own.path / "whole-bytes" / model_digest(model)


def _write_if_changed(path: Path, content: bytes, places: Places) -> None:
    try:
        if read_small_file(path, len(content)) == content:
            return
    except OSError:  # missing, larger, or not a regular file
        pass
    atomic.write_file(path, content, places.boundary_of(path))
