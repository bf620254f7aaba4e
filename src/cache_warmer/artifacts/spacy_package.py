"""A spaCy package as an artifact: its wheel is fetched, verified and unpacked, and goes; or it is there already.

.packages/<name>-<version>-<sha8>/     the wheel's files; two versions live side by side
.packages/.staging/                    wheels that are being fetched, trees that are being unpacked
<name>, <name>-<version>.dist-info     relative links to the current one, where other projects import it
"""

import errno
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import Download, Expected, HashFile, Holding, SpaceNeeded, Staged, Wanted
from cache_warmer.artifacts.installed_package import find_installed, metadata_files, note_wheel, take_over
from cache_warmer.artifacts.package_links import point_package
from cache_warmer.artifacts.wheel import WheelContent, read_content, unpack
from cache_warmer.disk import atomic
from cache_warmer.disk.atomic import remove_obstruction
from cache_warmer.disk.volume import demand_space, nearest_folder
from cache_warmer.errors import ContentMismatch
from cache_warmer.hub.urls import join_file_name
from cache_warmer.transfer import hashing
from cache_warmer.transfer.staging import staged_bytes, staging_name
from model_cache.catalog.catalog import Model, SpacySource
from model_cache.catalog.lock import LockedModel
from model_cache.check.files import Remedies, inspect
from model_cache.layout import record_path, spacy_tree
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import HOST, PlaceName, Places

# Unpacked size of a wheel over its own, at most: de_core_news_lg 3.8.0 has 568 MB, its vectors alone are
# 600 MB.
_SWELL: Final = 1.3
_FILES: Final = 120
_MODEL_FILES: Final = ("config.cfg", "meta.json")
_LOG: Final = logging.getLogger(__name__)

# Asks for the size of a body: (URL, label) to bytes, or None if the server does not say.
SizeOf = Callable[[str, str], int | None]


@dataclass(frozen=True, slots=True)
class SpacyPackage:
    """One version of one package.

    Attributes:
        model, source, places, locked: as of every artifact.
        wheel_base: folder URL for wheels; None: the catalog's own URL.
        size_of: called by `resolve` alone.
        installed_in: folders in which pip may have installed the package before.
    """

    model: Model
    source: SpacySource
    places: Places
    locked: LockedModel | None
    wheel_base: str | None
    size_of: SizeOf
    installed_in: tuple[Path, ...] = ()

    @property
    def _tree(self) -> Path:
        return self.places.spacy.path / spacy_tree(self.source)

    @property
    def _staging(self) -> Path:
        return self._tree.parent / ".staging"

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    @property
    def _fresh(self) -> Path:
        return self._staging / staging_name(f"{self._tree.name}.tree", self.places)

    def resolve(self) -> Wanted:
        """Ask the size of the wheel where the lock does not know it; the catalog says its sha256."""
        name = self.source.wheel_name
        url = join_file_name(self.wheel_base, name) if self.wheel_base else self.source.url
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
        staging = self._staging / staging_name(f"{name}.{self.source.sha256[:8]}", self.places)
        return Wanted((Download(name, url, {}, facts, staging, label),), size, "catalog")

    def look(
        self,
        wanted: Wanted,
        record: ModelRecord | None,
        hash_file: HashFile | None,
        wrong: frozenset[str] = frozenset(),
    ) -> Holding:
        """Return what is there: what our record lists, or files beside which the wheel's hash is noted.

        Without either an unpacked tree proves nothing: its wheel is gone.
        """
        (download,) = wanted.downloads
        recorded = record.files if record is not None else ()
        if recorded and wrong.isdisjoint(record_path(self.places, file) for file in recorded):
            found, problems = inspect(recorded, self.places, Remedies())
            if not problems and len(found) == len(recorded):
                return Holding(((download, recorded),), ())
        if hash_file is not None and (proven := self._in_place(hash_file) or self._take_over(hash_file)):
            return Holding(((download, proven),), ())
        return Holding((), (download,))

    def room(self, missing: tuple[Download, ...]) -> SpaceNeeded:
        """The rest of the wheel and its unpacked tree; what the tree really takes is asked before unpacking."""
        if not missing:
            return SpaceNeeded(PlaceName.SPACY, 0, 0)
        size = missing[0].expected.bytes or 0
        rest = size - staged_bytes(missing[0].staging, size)
        return SpaceNeeded(PlaceName.SPACY, rest + int(size * _SWELL), _FILES)

    def writes_to(self, missing: tuple[Download, ...]) -> frozenset[Path]:
        """The folder of packages and the one where they are unpacked."""
        return frozenset({self._staging, self._staging.parent} if missing else ())

    def accept(
        self, same: tuple[Download, ...], staged: Staged, *, shared: bool = False
    ) -> tuple[FileRecord, ...]:
        """Unpack the wheel beside its final place, then rename; the wheel goes."""
        try:
            records = self._put(lambda fresh: self._unpack(staged.path, fresh))
        except ContentMismatch:
            staged.path.unlink()  # the same bytes would fail again
            raise
        if not shared:
            staged.path.unlink()
        return records

    def settle(self, wanted: Wanted) -> None:
        """Nothing: spaCy wants no list beside its files."""

    def relist(self, files: tuple[FileRecord, ...]) -> None:
        """Nothing, for the same reason."""

    def update_refs(self) -> None:
        """Let the names on other projects' PYTHONPATH stand for this version."""
        point_package(self.places.spacy.path, self._tree, self.source.package, ours=not self._on_host)

    def _in_place(self, hash_file: HashFile) -> tuple[FileRecord, ...]:
        """Return the records of a tree that another user of a shared place unpacked, or whose records were lost."""
        installed = find_installed(self.source, (self._tree,), hash_file) if self._on_host else None
        if installed is None or not self._is_model(file.path for file in installed.files):
            return ()
        files = (*installed.files, *metadata_files(installed, hash_file))
        return self._records({file.path: (file.bytes, file.sha256) for file in files})

    def _take_over(self, hash_file: HashFile) -> tuple[FileRecord, ...]:
        installed = find_installed(self.source, self.installed_in, hash_file)
        if installed is None or not self._is_model(file.path for file in installed.files):
            return ()
        _LOG.info("%s: taken over from %s, nothing is fetched", self.model.key, installed.folder)
        demand_space(nearest_folder(self._staging), installed.bytes, len(installed.files))
        return self._put(partial(take_over, installed))

    def _put(self, write: Callable[[Path], dict[str, tuple[int, str]]]) -> tuple[FileRecord, ...]:
        """Have a tree written beside its final place, then rename it; return its records."""
        fresh = self._fresh
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            written = write(fresh)
            if self._on_host:
                written |= note_wheel(self.source, fresh, _dist_info(written))
            self._publish(fresh, written)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return self._records(written)

    def _records(self, written: Mapping[str, tuple[int, str]]) -> tuple[FileRecord, ...]:
        tree = str(spacy_tree(self.source))
        return tuple(
            FileRecord(PlaceName.SPACY, f"{tree}/{path}", size, sha256)
            for path, (size, sha256) in sorted(written.items())
        )

    def _unpack(self, wheel: Path, fresh: Path) -> dict[str, tuple[int, str]]:
        content = read_content(wheel, self.source.package)
        self._demand_model(content)
        demand_space(self._staging, content.bytes, len(content.files))
        atomic.make_folders(fresh)
        return unpack(wheel, content, fresh)

    def _demand_model(self, content: WheelContent) -> None:
        if not self._is_model(file.path for file in content.files):
            source = self.source
            folder = f"{source.package}/{source.package}-{source.version}"
            raise ContentMismatch(
                f"{source.wheel_name} holds no {' and '.join(f'{folder}/{name}' for name in _MODEL_FILES)}: it is not "
                f"{source.package} {source.version}",
                "compare package, version and url in the catalog",
            )

    def _is_model(self, paths: Iterable[str]) -> bool:
        folder = f"{self.source.package}/{self.source.package}-{self.source.version}"
        return {f"{folder}/{name}" for name in _MODEL_FILES} <= set(paths)

    def _publish(self, fresh: Path, written: Mapping[str, tuple[int, str]]) -> None:
        """Rename the tree into place; into a damaged one only the files that are not right, each by rename.

        So readers of the damaged tree keep what they have mapped, and its right files stay the files they were.
        """
        if self._tree.is_symlink() or self._tree.is_file():
            self._tree.unlink()
        if not (self._renamed(fresh) or self._tree.is_dir()):
            os.replace(fresh, self._tree)
        elif fresh.is_dir():
            for path, (size, sha256) in sorted(written.items()):
                self._replace(fresh / path, self._tree / path, size, sha256)
        atomic.sync_folder(self._tree.parent)

    def _renamed(self, fresh: Path) -> bool:
        """Rename the tree into place, unless something is there: a damaged one, or what another user has just put."""
        if os.path.lexists(self._tree):
            return False
        try:
            os.replace(fresh, self._tree)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            return False
        return True

    def _replace(self, fresh: Path, target: Path, size: int, sha256: str) -> None:
        remove_obstruction(target, self._tree)
        if _is_content(target, size, sha256):
            return
        if not target.parent.resolve().is_relative_to(self._tree.resolve()):
            raise ContentMismatch(f"{target.parent} leads out of {self._tree}", f"delete {self._tree}")
        atomic.make_folders(target.parent)
        os.replace(fresh, target)
        atomic.sync_folder(target.parent)


def _is_content(path: Path, size: int, sha256: str) -> bool:
    """Whether a regular file, and no link to one, is there with that content."""
    try:
        state = path.lstat()
        return (
            stat.S_ISREG(state.st_mode)
            and state.st_size == size
            and hashing.hash_file(path, size)[0] == sha256
        )
    except OSError:
        return False


def _dist_info(paths: Iterable[str]) -> str:
    return next(path.partition("/")[0] for path in paths if path.endswith(".dist-info/RECORD"))
