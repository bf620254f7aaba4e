"""Caches of several generations on disk, in the real layouts: models share blobs, packages lie side by side."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.package_links import update_package_links
from cache_warmer.gc.plan import GcPlan
from cache_warmer.gc.retention import RetentionRules
from cache_warmer.gc.scan import Scanner
from cache_warmer.gc.sweep import Sweeper
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task, generation, model_digest
from model_cache.layout import (
    manifest_path,
    model_record_path,
    repository_folder,
    snapshot_folder,
    spacy_package_folder,
)
from model_cache.manifest import (
    FetchedFile,
    FileRecord,
    Manifest,
    ModelRecord,
    dump_manifest,
    dump_model_record,
)
from model_cache.places import PlaceName, Places, resolve_places

NOW: Final = 2_000_000_000.0
OLD: Final = NOW - 7200


def hub_model(key: str, repository: str, commit: str, files: Sequence[str]) -> Model:
    return Model(key, Task.SENTIMENT, HuggingFaceSource(repository, commit * 40, tuple(files)))


def package(key: str, name: str, version: str) -> Model:
    sha256 = hashlib.sha256(f"{name}{version}".encode()).hexdigest()
    url = f"https://x.test/{name}-{version}-py3-none-any.whl"
    return Model(key, Task.ENTITIES, SpacySource(name, version, url, sha256))


@dataclass(frozen=True)
class Collector:
    """Both halves of a garbage collection."""

    scan: Callable[[RetentionRules], GcPlan]
    apply: Callable[[GcPlan], None]


@dataclass(frozen=True)
class FilledCache:
    """A cache in one folder, to which a test publishes generations."""

    places: Places

    def collector(self, models: Sequence[Model], deletions: int | None = None) -> Collector:
        """Return a collector for a catalog of these models; its sweep is interrupted after that many deletions."""
        left = [deletions]

        def check_lease() -> None:
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

        scanner = Scanner(models, self.places, NOW, os.geteuid())
        return Collector(scanner.scan, Sweeper(self.places, check_lease).apply)

    def scan(self, models: Sequence[Model], keep: int = 0) -> GcPlan:
        return self.collector(models).scan(rules_for(models, keep))

    def publish(self, models: Sequence[Model], written: float, *, fetched: bool = True) -> None:
        """Write a generation with all its files, as a warm does.

        `written` is the time of its manifest, `fetched` whether its files were fetched, not found.
        """
        records = [self._write_model(model) for model in models]
        if fetched:
            records = [record._replace(fetched=_notes(record.files)) for record in records]
        for record in records:
            write_old_file(model_record_path(self.places, record.digest), dump_model_record(record))
        name = generation(models)
        path = manifest_path(self.places, name)
        write_old_file(path, dump_manifest(Manifest(name, tuple(sorted(records, key=lambda one: one.key)))))
        os.utime(path, (written, written))

    def folder(self, repository: str) -> Path:
        return self.places.hub.path / repository_folder(repository)

    def snapshot(self, repository: str, commit: str, files: Mapping[str, bytes]) -> list[FileRecord]:
        """Write files of a commit as the hub client does; existing links stay."""
        folder = self.folder(repository)
        path = snapshot_folder(HuggingFaceSource(repository, commit, ()))
        records = []
        for name, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            blob, link = folder / "blobs" / sha256, self.places.hub.path / path / name
            write_old_file(blob, content)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(os.path.relpath(blob, link.parent))
            records.append(FileRecord(PlaceName.HUB, f"{path}/{name}", len(content), sha256))
        return records

    def _write_model(self, model: Model) -> ModelRecord:
        source = model.source
        if isinstance(source, HuggingFaceSource):
            # the same name has the same content in every commit, so that commits and repositories share blobs
            files = {name: f"content of {name}\n".encode() * 50 for name in source.files}
            records = self.snapshot(source.repository, source.revision, files)
            write_old_file(self.folder(source.repository) / "trees" / f"{source.revision}.json", b"{}")
            (self.folder(source.repository) / "refs").mkdir(exist_ok=True)
            (self.folder(source.repository) / "refs/main").write_text(source.revision)
        else:
            records = self._write_package(source)
        return ModelRecord(
            model_digest(model), model.key, model.source_name, model.revision, tuple(sorted(records))
        )

    def _write_package(self, source: SpacySource) -> list[FileRecord]:
        tree = spacy_package_folder(source)
        files = {
            f"{source.package}/meta.json": source.version.encode(),
            f"{source.package}/{source.package}-{source.version}/config.cfg": b"[nlp]",
            f"{source.package}/{source.package}-{source.version}/meta.json": source.version.encode(),
            f"{source.package}-{source.version}.dist-info/RECORD": source.sha256.encode(),
        }
        for name, content in files.items():
            write_old_file(self.places.spacy.path / tree / name, content)
        place = self.places.spacy.path
        update_package_links(place, place / tree, source.package, self.places.boundary_of(place))
        return [
            FileRecord(PlaceName.SPACY, f"{tree}/{name}", len(content), hashlib.sha256(content).hexdigest())
            for name, content in files.items()
        ]


def _notes(files: Sequence[FileRecord]) -> tuple[FetchedFile, ...]:
    return tuple(FetchedFile(file.place, file.path, int(OLD)) for file in files)


def rules_for(models: Sequence[Model], keep: int = 0) -> RetentionRules:
    return RetentionRules(generation(models), frozenset(model_digest(model) for model in models), keep)


def cache_at(root: Path) -> FilledCache:
    return FilledCache(resolve_places(str(root), {}, Path("/no-home")))


def write_old_file(path: Path, content: bytes = b"x" * 10) -> Path:
    """Write a file that is old enough to count as a leftover."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))
    return path


def files_below(root: Path) -> dict[str, bytes | str]:
    """Return all files and links below a folder, with their contents and targets."""
    found: dict[str, bytes | str] = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder) / name
            if path.is_symlink():
                found[str(path.relative_to(root))] = os.readlink(path)
            elif path.is_file():
                found[str(path.relative_to(root))] = path.read_bytes()
    return found
