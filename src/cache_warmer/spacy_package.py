"""A spaCy package as an artifact: its wheel is fetched, verified and unpacked, and goes.

.packages/<name>-<version>-<sha8>/     the wheel's files; two versions live side by side
.packages/.staging/                    wheels that are being fetched, trees that are being unpacked
<name>, <name>-<version>.dist-info     relative links to the current one, for other projects' PYTHONPATH
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cache_warmer import durable
from cache_warmer.addresses import beside
from cache_warmer.artifact import Download, Expected, HashFile, Holding, Room, Staged, Wanted
from cache_warmer.errors import ContentMismatch
from cache_warmer.package_links import point_package
from cache_warmer.staging import staged_bytes
from cache_warmer.volume import demand_space
from cache_warmer.wheel import WheelContent, read_content, unpack
from model_cache.catalog import Model, SpacySource
from model_cache.check_files import Remedies, look_at
from model_cache.layout import spacy_tree
from model_cache.lock import LockedModel
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import PlaceName, Places

_SWELL = 1.3
"""Unpacked size of a wheel over its own, at most: de_core_news_lg 3.8.0 has 568 MB, its vectors alone are 600 MB."""
_FILES = 120

SizeOf = Callable[[str, str], int | None]
"""Asks for the size of a body: (URL, label) to bytes, or None if the server does not say."""


@dataclass(frozen=True, slots=True)
class SpacyPackage:
    """One version of one package. ``size_of`` is called by ``resolve`` alone."""

    model: Model
    source: SpacySource
    places: Places
    locked: LockedModel | None
    wheel_base: str | None
    size_of: SizeOf

    @property
    def _tree(self) -> Path:
        return self.places.spacy.path / spacy_tree(self.source)

    @property
    def _staging(self) -> Path:
        return self._tree.parent / ".staging"

    def resolve(self) -> Wanted:
        """Ask the size of the wheel where the lock does not know it; the catalog says its sha256."""
        name = self.source.wheel_name
        url = beside(self.wheel_base, name) if self.wheel_base else self.source.url
        label = f"{self.source.package} {self.source.version}: {name}"
        locked = self.locked.files.get(name) if self.locked is not None else None
        if locked is not None and locked.sha256 not in (None, self.source.sha256):
            raise ContentMismatch(
                f"{label}: the catalog says sha256 {self.source.sha256}, its lock {locked.sha256}",
                "correct the catalog, or write the lock anew",
            )
        known = locked.bytes if locked is not None else None
        size = known if known is not None else self.size_of(url, label)
        facts = Expected(size, self.source.sha256, None, "catalog")
        staging = self._staging / f"{name}.{self.source.sha256[:8]}.incomplete"
        return Wanted((Download(name, url, {}, facts, staging, label),), size, "catalog")

    def look(self, wanted: Wanted, record: ModelRecord | None, hash_file: HashFile | None) -> Holding:
        """Return what is there. Without a record of ours an unpacked tree proves nothing: its wheel is gone."""
        (download,) = wanted.downloads
        if record is not None and record.files:
            found, problems = look_at(record.files, self.places, Remedies())
            if not problems and len(found) == len(record.files):
                return Holding(((download, record.files),), ())
        return Holding((), (download,))

    def room(self, missing: tuple[Download, ...]) -> Room:
        """The rest of the wheel and its unpacked tree; what the tree really takes is asked before unpacking."""
        if not missing:
            return Room(PlaceName.SPACY, 0, 0)
        size = missing[0].expected.bytes or 0
        rest = max(0, size - staged_bytes(missing[0].staging))
        return Room(PlaceName.SPACY, rest + int(size * _SWELL), _FILES)

    def accept(self, same: tuple[Download, ...], staged: Staged) -> tuple[FileRecord, ...]:
        """Unpack the wheel beside its final place, then rename; the wheel goes."""
        fresh = self._staging / f"{self._tree.name}.tree"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            written = self._unpack(staged.path, fresh)
            self._publish(fresh, sorted(written))
        except ContentMismatch:
            staged.path.unlink()  # the same bytes would fail again
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        staged.path.unlink()
        tree = str(spacy_tree(self.source))
        return tuple(
            FileRecord(PlaceName.SPACY, f"{tree}/{path}", size, sha256)
            for path, (size, sha256) in sorted(written.items())
        )

    def settle(self, wanted: Wanted) -> None:
        """Nothing: spaCy wants no list beside its files."""

    def point(self) -> None:
        """Let the names on other projects' PYTHONPATH stand for this version."""
        point_package(self.places.spacy.path, self._tree, self.source.package)

    def _unpack(self, wheel: Path, fresh: Path) -> dict[str, tuple[int, str]]:
        content = read_content(wheel, self.source.package)
        self._demand_model(content)
        demand_space(self._staging, content.bytes, len(content.files))
        durable.make_folders(fresh)
        return unpack(wheel, content, fresh)

    def _demand_model(self, content: WheelContent) -> None:
        folder = f"{self.source.package}/{self.source.package}-{self.source.version}"
        paths = {file.path for file in content.files}
        for name in ("config.cfg", "meta.json"):
            if f"{folder}/{name}" not in paths:
                raise ContentMismatch(
                    f"{self.source.wheel_name} holds no {folder}/{name}: it is not "
                    f"{self.source.package} {self.source.version}",
                    "compare package, version and url in the catalog",
                )

    def _publish(self, fresh: Path, paths: list[str]) -> None:
        """Rename the tree into place; into a damaged one file by file, so that no reader loses a whole one."""
        if not self._tree.is_dir():
            if self._tree.is_symlink() or self._tree.exists():
                self._tree.unlink()
            os.replace(fresh, self._tree)
        else:
            for path in paths:
                target = self._tree / path
                if not target.parent.resolve().is_relative_to(self._tree.resolve()):
                    raise ContentMismatch(
                        f"{target.parent} leads out of {self._tree}", f"delete {self._tree}"
                    )
                durable.make_folders(target.parent)
                os.replace(fresh / path, target)
                durable.sync_folder(target.parent)
        durable.sync_folder(self._tree.parent)
