"""Reads and writes what a run leaves behind: a record a verified model, then the generation's manifest."""

from collections.abc import Sequence
from pathlib import Path

from cache_warmer.disk import atomic
from model_cache.catalog.catalog import Model, generation, model_digest
from model_cache.errors import ManifestInvalid
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


def read_record(model: Model, places: Places) -> ModelRecord | None:
    """Return what was verified of a model before, from its own record or any manifest; None if unknown."""
    return read_records((model,), places).get(model.key)


def read_records(models: Sequence[Model], places: Places) -> dict[str, ModelRecord]:
    """Return what was verified of these models before, by key; each manifest is read at most once."""
    digests = {model.key: model_digest(model) for model in models}
    found = {key: record for key, digest in digests.items() if (record := _own_record(digest, places))}
    unknown = {digest: key for key, digest in digests.items() if key not in found}
    manifests = sorted(manifest_path(places, "").parent.glob("*.json")) if unknown else []
    for path in manifests:
        try:
            records = parse_manifest(path.read_bytes()).models
        except (OSError, ManifestInvalid):
            continue
        for record in records:
            if (key := unknown.pop(record.digest, None)) is not None:
                found[key] = record
    return found


def _own_record(digest: str, places: Places) -> ModelRecord | None:
    try:
        record = parse_model_record(model_record_path(places, digest).read_bytes())
    except (OSError, ManifestInvalid):
        return None
    return record if record.digest == digest else None


def make_record(model: Model, files: Sequence[FileRecord]) -> ModelRecord:
    """Return the record of a model from its verified files."""
    ordered = tuple(sorted(files, key=lambda file: (file.place, file.path)))
    return ModelRecord(model_digest(model), model.key, model.source_name, model.revision, ordered)


def write_record(record: ModelRecord, places: Places) -> None:
    """Write a model's record, unless it stands there already. Raises `OSError`."""
    _write(model_record_path(places, record.digest), dump_model_record(record))


def write_manifest(models: Sequence[Model], records: Sequence[ModelRecord], places: Places) -> None:
    """Write the manifest of a whole catalog, last of all. Former manifests stay. Raises `OSError`."""
    name = generation(models)
    ordered = tuple(sorted(records, key=lambda record: record.key))
    _write(manifest_path(places, name), dump_manifest(Manifest(name, ordered)))


def write_whole_bytes(model: Model, whole: int | None, places: Places) -> None:
    """Remember what the whole repository of a model weighs, for later plans. Raises `OSError`."""
    if whole is not None:
        _write(_whole_path(model, places), f"{whole}\n".encode())


def read_whole_bytes(model: Model, places: Places) -> int | None:
    """Return what the whole repository of a model weighed when it was fetched; None if unknown."""
    try:
        return int(_whole_path(model, places).read_bytes()[:40])
    except (OSError, ValueError):
        return None


def _whole_path(model: Model, places: Places) -> Path:
    return places.own.path / "whole-bytes" / model_digest(model)


def _write(path: Path, content: bytes) -> None:
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass
    atomic.write_file(path, content)
