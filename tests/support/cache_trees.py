"""Small real caches on disk, in the layouts that the warmer and the libraries write."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task, generation, model_digest
from model_cache.layout import (
    manifest_path,
    model_record_path,
    repository_folder,
    snapshot_folder,
    spacy_model_folder,
    spacy_package_folder,
)
from model_cache.manifest import (
    FileRecord,
    Manifest,
    ModelRecord,
    dump_manifest,
    dump_model_record,
)
from model_cache.places import PlaceName, Places, resolve_places

SENTIMENT: Final = Model(
    "mood",
    Task.SENTIMENT,
    HuggingFaceSource("org/mood", "a" * 40, ("config.json", "model.safetensors", "sub/*.json")),
)
ENTITIES: Final = Model(
    "names",
    Task.ENTITIES,
    SpacySource("de_test", "3.8.0", "https://x.test/de_test-3.8.0-py3-none-any.whl", "b" * 64),
)
MODELS: Final = (SENTIMENT, ENTITIES)

SENTIMENT_FILES: Final = {
    "config.json": b'{"x": 1}',
    "model.safetensors": b"weights" * 1000,
    "sub/more.json": b"[]",
}
ENTITIES_FILES: Final = {"config.cfg": b"[nlp]", "meta.json": b"{}", "ner/model": b"n" * 5000}


@dataclass(frozen=True)
class CacheTree:
    """A complete cache of `MODELS` below one folder."""

    root: Path
    places: Places

    def snapshot_file(self, name: str) -> Path:
        return self.places.hub.path / snapshot_folder(_hub_source(SENTIMENT)) / name

    def blob(self, name: str) -> Path:
        return Path(os.path.realpath(self.snapshot_file(name)))

    def spacy_file(self, name: str) -> Path:
        return self.places.spacy.path / spacy_model_folder(_spacy_source(ENTITIES)) / name

    @property
    def manifest(self) -> Path:
        return manifest_path(self.places, generation(MODELS))

    def record(self, model: Model) -> Path:
        return model_record_path(self.places, model_digest(model))


def build_cache(root: Path) -> CacheTree:
    """Write a complete cache of `MODELS`: files, model records, manifest."""
    places = resolve_places(str(root), {}, Path("/home"))
    records = (write_snapshot(places, SENTIMENT, SENTIMENT_FILES), write_package(places, ENTITIES))
    write_records(places, MODELS, records)
    return CacheTree(root, places)


def write_snapshot(places: Places, model: Model, files: dict[str, bytes]) -> ModelRecord:
    """Write blobs and relative links as the hub client does, and return their record."""
    source = _hub_source(model)
    blobs = places.hub.path / repository_folder(source.repository) / "blobs"
    blobs.mkdir(parents=True)
    records = []
    for name, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        (blobs / sha256).write_bytes(content)
        path = snapshot_folder(source) / name
        link = places.hub.path / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / sha256, link.parent))
        records.append(FileRecord(PlaceName.HUB, str(path), len(content), sha256))
    return record_of(model, records)


def write_package(places: Places, model: Model) -> ModelRecord:
    """Write a spaCy package's tree and the link to the current one, and return its record."""
    source = _spacy_source(model)
    records = []
    tree, model_files = spacy_package_folder(source), spacy_model_folder(source)
    files = {model_files / name: content for name, content in ENTITIES_FILES.items()}
    files[tree / f"{source.package}-{source.version}.dist-info" / "RECORD"] = b""
    for path, content in files.items():
        file = places.spacy.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        records.append(
            FileRecord(PlaceName.SPACY, str(path), len(content), hashlib.sha256(content).hexdigest())
        )
    (places.spacy.path / source.package).symlink_to(tree / source.package)
    return record_of(model, records)


def record_of(model: Model, files: list[FileRecord]) -> ModelRecord:
    return ModelRecord(model_digest(model), model.key, model.source_name, model.revision, tuple(files))


def write_records(places: Places, models: tuple[Model, ...], records: tuple[ModelRecord, ...]) -> None:
    """Write a record a model, and the manifest of all."""
    for model, record in zip(models, records, strict=True):
        path = model_record_path(places, model_digest(model))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump_model_record(record))
    path = manifest_path(places, generation(models))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dump_manifest(Manifest(generation(models), records)))


def _hub_source(model: Model) -> HuggingFaceSource:
    assert isinstance(model.source, HuggingFaceSource)
    return model.source


def _spacy_source(model: Model) -> SpacySource:
    assert isinstance(model.source, SpacySource)
    return model.source
