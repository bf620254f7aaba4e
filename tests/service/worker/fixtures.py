"""A cache with four tiny real models and its catalog, in the layout that the warmer publishes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, generation, model_digest
from model_cache.catalog.parse import load_catalog
from model_cache.layout import manifest_path, model_path, model_record_path
from model_cache.manifest import FileRecord, Manifest, ModelRecord, dump_manifest, dump_model_record
from model_cache.places import Places, resolve_places
from model_cache.record_rules import source_folder
from tests.support.tiny_models import write_classifier, write_embedding

CATALOG: Final = """\
apiVersion: qda/v1
kind: Catalog
models:
  - key: tiny-sentiment
    licence: MIT
    task: sentiment
    huggingface:
      repository: qda-test/sentiment
      revision: 1111111111111111111111111111111111111111
      files: ["*"]
    serving: {cleaning: german-sentiment}
  - key: tiny-ner
    task: entities
    spacy:
      package: de_tiny
      version: 1.0.0
      url: https://example.invalid/de_tiny-1.0.0-py3-none-any.whl
      sha256: "2222222222222222222222222222222222222222222222222222222222222222"
  - key: tiny-embedding
    task: embedding
    huggingface:
      repository: qda-test/embedding
      revision: 3333333333333333333333333333333333333333
      files: ["*"]
  - key: tiny-paraphrase
    task: paraphrase
    huggingface:
      repository: qda-test/paraphrase
      revision: 4444444444444444444444444444444444444444
      files: ["*"]
    serving: {shortened_dimensions: [8], prompts: {query: "das Haus: ", passage: "die Stadt: "}}
"""

NAMES: Final = {"Merkel": "PER", "Müller": "PER", "Berlin": "LOC", "Köln": "LOC", "Siemens": "ORG"}


@dataclass(frozen=True, slots=True)
class CacheFixture:
    """A cache folder and the catalog of its models."""

    folder: Path

    @property
    def catalog_file(self) -> Path:
        return self.folder / "catalog.yaml"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def catalog(self) -> Catalog:
        return load_catalog(self.catalog_file)

    @property
    def places(self) -> Places:
        return resolve_places(str(self.cache), {}, self.folder)

    def path(self, key: str) -> Path:
        """Return the folder that a library loads the model from."""
        return model_path(self.places, self.catalog.model(key))

    def unpublish(self) -> None:
        """Remove the manifest, as before the warmer's last step."""
        manifest_path(self.places, generation(self.catalog.models)).unlink()

    def publish(self) -> None:
        """Write the records of the models, then the manifest of the generation."""
        records = [self._record(model) for model in self.catalog.models]
        for record in records:
            _write(model_record_path(self.places, record.digest), dump_model_record(record))
        name = generation(self.catalog.models)
        _write(manifest_path(self.places, name), dump_manifest(Manifest(name, tuple(records))))

    def _record(self, model: Model) -> ModelRecord:
        place, folder = source_folder(model.source)
        root = self.places.of(place).path
        files = tuple(
            FileRecord(place, path.relative_to(root).as_posix(), path.stat().st_size, _sha256(path))
            for path in sorted((root / folder).rglob("*"))
            if path.is_file()
        )
        return ModelRecord(model_digest(model), model.key, model.source_name, model.revision, files)


def create_cache(folder: Path) -> CacheFixture:
    """Write catalog and models into an empty folder, and publish them."""
    cache_fixture = CacheFixture(folder)
    cache_fixture.catalog_file.write_text(CATALOG, encoding="utf-8")
    for model in cache_fixture.catalog.models:
        path = cache_fixture.path(model.key)
        path.mkdir(parents=True)
        if isinstance(model.source, HuggingFaceSource):
            _write_hub_model(model.key, path)
        else:
            write_ruler(path)
            dist_info = path.parents[1] / f"{model.source.package}-{model.source.version}.dist-info"
            dist_info.mkdir()
            (dist_info / "RECORD").touch()
    cache_fixture.publish()
    return cache_fixture


def _write_hub_model(key: str, path: Path) -> None:
    if key == "tiny-sentiment":
        write_classifier(path, ["positive", "negative", "neutral"], limit=64, positions=64)
    elif key == "tiny-embedding":
        write_embedding(path, max_seq_length=64, normalize=True, pooling="cls", as_pickle=True, heads=True)
    else:
        write_embedding(path, max_seq_length=32, normalize=False)


def write_ruler(path: Path) -> None:
    """Write a spaCy pipeline that recognizes the words of NAMES."""
    import spacy  # the benchmarks of other models run without it

    nlp = spacy.blank("de")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": name} for name, label in NAMES.items()])  # type: ignore[attr-defined]  # spaCy types pipes as callables
    nlp.to_disk(path)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
