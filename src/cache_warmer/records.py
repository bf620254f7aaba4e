"""Read and write the records of the cache: one for each verified model, and a manifest for each generation.

Other programs may have written to the volume, so reads are bounded and a record that cannot be parsed counts as
missing. Writes are atomic and synced (`disk.atomic`), happen under the lease, and are skipped if the file already has
that content.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from model_cache.catalog.catalog import Model, generation, model_digest
from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.layout import manifest_path, model_record_path
from model_cache.manifest import (
    FileRecord,
    Manifest,
    ModelRecord,
    dump_manifest,
    dump_model_record,
    parse_manifest,
    parse_model_record,
)
from model_cache.places import Places

# Bytes of a file that holds one number.
_MAX_NUMBER_BYTES: Final = 40


def read_record(model: Model, places: Places) -> ModelRecord | None:
    """Return the record of a verified model, from its own file or any manifest; None if there is none."""
    return read_records((model,), places).get(model.key)


def read_records(models: Sequence[Model], places: Places) -> dict[str, ModelRecord]:
    """Return the records of verified models by key; each manifest is read at most once."""
    digests = {model.key: model_digest(model) for model in models}
    found = {key: record for key, digest in digests.items() if (record := _read_own_record(digest, places))}
    unknown = {digest: key for key, digest in digests.items() if key not in found}
    manifests = sorted(manifest_path(places, "").parent.glob("*.json")) if unknown else []
    for path in manifests:
        try:
            records = parse_manifest(read_small_file(path)).models
        except (OSError, ManifestInvalid):
            continue
        for record in records:
            if (key := unknown.pop(record.digest, None)) is not None:
                found[key] = record
    return found


def _read_own_record(digest: str, places: Places) -> ModelRecord | None:
    try:
        record = parse_model_record(read_small_file(model_record_path(places, digest)))
    except (OSError, ManifestInvalid):
        return None
    return record if record.digest == digest else None


def make_record(model: Model, files: Sequence[FileRecord]) -> ModelRecord:
    """Return the record of a model from its verified files."""
    ordered = tuple(sorted(files, key=lambda file: (file.place, file.path)))
    return ModelRecord(model_digest(model), model.key, model.source_name, model.revision, ordered)


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
