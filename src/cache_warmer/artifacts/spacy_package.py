"""A spaCy package as an artifact: its wheel is fetched, verified, unpacked and deleted.

    .packages/<name>-<version>-<sha8>/     files of the wheel; several versions lie side by side
    .packages/.staging/                    wheels being fetched, and trees being unpacked
    <name>, <name>-<version>.dist-info     relative links to the current version, for other projects

On a host the wheel is not fetched if the package is installed already and can be verified (`installed_package`).

A tree is written below `.staging` and renamed into place, so it appears whole. If a damaged tree is there, only its
wrong files are replaced, each by rename: workers that have the other files mapped into memory are not disturbed.
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

from cache_warmer.artifacts.artifact import CacheState, HashFile, MainThread, Resolution, WriteRight
from cache_warmer.artifacts.installed_package import (
    InstalledPackage,
    find_installed,
    link_installed,
    metadata_files,
    verify_installed,
    write_direct_url,
)
from cache_warmer.artifacts.package_links import update_package_links
from cache_warmer.artifacts.wheel import WheelContent, read_content, unpack, wheel_contents_sha256
from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import try_lock
from cache_warmer.disk.preflight import SpaceNeeded
from cache_warmer.disk.volume import nearest_folder, require_free_space, retry_temporary
from cache_warmer.errors import ContentMismatch, LeaseLost
from cache_warmer.hub.urls import join_file_name
from cache_warmer.transfer.claim import hold_lock, remove_abandoned, staged_bytes
from cache_warmer.transfer.download import Download, ExpectedContent, StagedBody
from cache_warmer.transfer.hashing import hash_file as hash_content
from cache_warmer.transfer.staging import private_name, staging_name
from model_cache.catalog.catalog import Model, SpacySource
from model_cache.catalog.lock import LockedModel
from model_cache.check.files import Remedies, inspect
from model_cache.containment import CacheBoundary
from model_cache.file_io import rename, sync_folder
from model_cache.layout import recorded_file_path, spacy_package_folder
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.record_rules import SPACY_MODEL_FILES, is_dist_info

_LOG: Final = logging.getLogger(__name__)
# Upper limit of the unpacked size over that of the wheel: de_core_news_lg 3.8.0 has 568 MB, its vectors alone 600 MB.
_EXPANSION: Final = 1.3
# Inodes of an unpacked package; the largest packages have 100 files.
_INODES: Final = 120
_MAIN_THREAD: Final = MainThread()

# Requests the size of a body: (URL, label) to bytes, or None if the server does not state it.
SizeOf = Callable[[str, str], int | None]
# Files that were written: size in bytes and sha256 by path in the tree.
_WrittenFiles = Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class SpacyPackage:
    """One version of one package. See `Artifact` for the methods.

    Attributes:
        model: the entry of the catalog.
        source: package, version and wheel.
        places: where the parts of the cache lie.
        locked: the entry of the lock for this version; None if it has none.
        wheel_base: URL of a folder with the wheels; None for the catalog's own URL.
        size_of: used by `resolve` alone.
        package_folders: folders in which pip may have installed the package before.
    """

    model: Model
    source: SpacySource
    places: Places
    locked: LockedModel | None
    wheel_base: str | None
    size_of: SizeOf
    package_folders: tuple[Path, ...] = ()

    @property
    def _tree(self) -> Path:
        return self.places.spacy.path / spacy_package_folder(self.source)

    @property
    def _staging(self) -> Path:
        return self._tree.parent / ".staging"

    @property
    def _boundary(self) -> CacheBoundary:
        return self.places.boundary_of(self._tree)

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    def resolve(self) -> Resolution:
        """Return the wheel. The catalog pins its sha256; the server is asked for a size that the lock does not know."""
        name = self.source.wheel_name
        url = join_file_name(self.wheel_base, name) if self.wheel_base else self.source.url
        label = f"{self.source.package} {self.source.version}: {name}"
        locked = self.locked.files.get(name) if self.locked is not None else None
        if locked is not None and locked.sha256 not in (None, self.source.sha256):
            raise ContentMismatch(
                f"{label}: the catalog says sha256 {self.source.sha256}, its lock {locked.sha256}",
                "correct the catalog, or write the lock again",
            )
        known = locked.bytes if locked is not None else None
        size = known if known is not None else self.size_of(url, label)
        expected = ExpectedContent(size, self.source.sha256, None, "catalog")
        staging = self._staging / staging_name(f"{name}.{self.source.sha256[:8]}", self.places)
        download = Download(name, url, {}, expected, staging, self._boundary, label)
        return Resolution((download,), size, "catalog")

    def inspect_cache(
        self,
        resolution: Resolution,
        record: ModelRecord | None,
        hash_file: HashFile | None,
        damaged: frozenset[str] = frozenset(),
    ) -> CacheState:
        """Return what is cached: the recorded files, or those of an installed package that can be verified.

        Without either, an unpacked tree cannot be verified, because its wheel was deleted.
        """
        (download,) = resolution.downloads
        recorded = record.files if record is not None else ()
        if recorded and damaged.isdisjoint(recorded_file_path(self.places, file) for file in recorded):
            found, problems = inspect(recorded, self.places, Remedies())
            if not problems and len(found) == len(recorded):
                return CacheState(((download, recorded),), ())
        if hash_file is not None:
            if files := self._verify_tree(hash_file):
                return CacheState(((download, files),), ())
            if files := self._reuse(hash_file):
                return CacheState(((download, files),), (), files)
        return CacheState((), (download,))

    def space_needed(self, missing: tuple[Download, ...]) -> SpaceNeeded:
        """Return the rest of the wheel and an estimate of its tree, which is checked before unpacking."""
        if not missing:
            return SpaceNeeded(PlaceName.SPACY, 0, 0)
        size = missing[0].expected.bytes or 0
        rest = size - staged_bytes(missing[0].staging, size, lock=try_lock)
        return SpaceNeeded(PlaceName.SPACY, rest + int(size * _EXPANSION), _INODES)

    def target_folders(self, missing: tuple[Download, ...]) -> frozenset[Path]:
        """Return the folder of packages and the one in which they are unpacked."""
        return frozenset({self._staging, self._staging.parent} if missing else ())

    def name_folders(self) -> frozenset[Path]:
        """Return the folder of the package's names."""
        return frozenset({self.places.spacy.path})

    def locate(self, download: Download) -> Download:
        """Return the download as it is: the catalog has the address of the wheel."""
        return download

    def install(
        self, same: tuple[Download, ...], staged: StagedBody, right: WriteRight, *, shared: bool = False
    ) -> tuple[FileRecord, ...]:
        """Unpack the wheel beside its final place, rename the tree into place, and delete the wheel."""
        try:
            records = self._write_tree(
                lambda target: self._unpack(staged.path, target, right.check), right=right
            )
        except ContentMismatch:
            staged.path.unlink(missing_ok=True)  # the same bytes would fail again
            raise
        if not shared:
            staged.path.unlink(missing_ok=True)
        return records

    def update_file_list(self, files: tuple[FileRecord, ...], offer: Resolution | None = None) -> None:
        """Do nothing: spaCy reads no such list."""

    def update_refs(self) -> None:
        """Point the names on other projects' PYTHONPATH at this version."""
        update_package_links(
            self.places.spacy.path, self._tree, self.source.package, self._boundary, ours=not self._on_host
        )

    def take_over(self, installed: InstalledPackage, right: WriteRight) -> tuple[FileRecord, ...]:
        """Link or copy the files of a package that pip installed; return their records.

        Raises:
            LeaseLost: another run took the lease.
            NoSpace: there is not enough space for a copy.
            OSError: the volume cannot be written.
        """
        _LOG.info("%s: taken over from %s, nothing is fetched", self.model.key, installed.folder)
        require_free_space(nearest_folder(self._staging), installed.bytes, len(installed.files))
        return self._write_tree(partial(link_installed, installed), right)

    def verify_installed(self, folder: Path, hash_file: HashFile) -> InstalledPackage | str:
        """Return the package that pip installed in a folder, or why it cannot be verified. Only reads."""
        result = verify_installed(self.source, folder, hash_file, self._locked_contents)
        if isinstance(result, InstalledPackage) and not self._has_model(file.path for file in result.files):
            return f"it has no {' and '.join(SPACY_MODEL_FILES)}"
        return result

    @property
    def _locked_contents(self) -> str | None:
        wheel = self.locked.files.get(self.source.wheel_name) if self.locked is not None else None
        return wheel.contents_sha256 if wheel is not None else None

    def _verify_tree(self, hash_file: HashFile) -> tuple[FileRecord, ...]:
        """Return the records of a tree on a host that another user unpacked, or whose records were lost."""
        installed = find_installed(self.source, (self._tree,), hash_file) if self._on_host else None
        if installed is None or not self._has_model(file.path for file in installed.files):
            return ()
        files = (*installed.files, *metadata_files(installed, hash_file))
        return self._records({file.path: (file.bytes, file.sha256) for file in files})

    def _reuse(self, hash_file: HashFile) -> tuple[FileRecord, ...]:
        """Link the files of a package that pip installed; return their records, none if it cannot be used."""
        installed = find_installed(self.source, self.package_folders, hash_file, self._locked_contents)
        if installed is None or not self._has_model(file.path for file in installed.files):
            return ()
        return self.take_over(installed, _MAIN_THREAD)

    def _write_tree(
        self, write: Callable[[Path], dict[str, tuple[int, str]]], right: WriteRight = _MAIN_THREAD
    ) -> tuple[FileRecord, ...]:
        """Have `write` fill a staged folder of this run alone, then publish it; return the records of its files."""
        resting = self._staging / staging_name(f"{self._tree.name}.tree", self.places)
        atomic.make_folders(self._staging, self._boundary)
        remove_abandoned(resting)
        staged_tree = private_name(resting)
        atomic.make_folders(staged_tree, self._boundary)
        try:
            with hold_lock(staged_tree):
                written = write(staged_tree)
                if self._on_host:
                    written |= write_direct_url(self.source, staged_tree, _dist_info(written))
                with right.publishing():
                    self._publish(staged_tree, written, right.check)
        except FileNotFoundError as error:
            if staged_tree.is_dir() or error.filename is None or staged_tree.name not in str(error.filename):
                raise
            raise LeaseLost(
                f"another writer took {staged_tree} before it was published",
                "run one warmer at a time; run the same command again to see what is left to do",
            ) from error
        finally:
            shutil.rmtree(staged_tree, ignore_errors=True)
        return self._records(written)

    def _records(self, written: _WrittenFiles) -> tuple[FileRecord, ...]:
        tree = str(spacy_package_folder(self.source))
        return tuple(
            FileRecord(PlaceName.SPACY, f"{tree}/{path}", size, sha256)
            for path, (size, sha256) in sorted(written.items())
        )

    def _unpack(
        self, wheel: Path, target: Path, check_cancelled: Callable[[], None]
    ) -> dict[str, tuple[int, str]]:
        content = read_content(wheel, self.source.package)
        self._require_model(content)
        require_free_space(self._staging, content.bytes, len(content.files))
        return unpack(wheel, content, target, check_cancelled)

    def _require_model(self, content: WheelContent) -> None:
        if not self._has_model(file.path for file in content.files):
            source = self.source
            folder = f"{source.package}/{source.package}-{source.version}"
            raise ContentMismatch(
                f"{source.wheel_name} holds no {' and '.join(f'{folder}/{name}' for name in SPACY_MODEL_FILES)}: "
                f"it is not {source.package} {source.version}",
                "compare package, version and url in the catalog",
            )
        if not is_dist_info(content.dist_info, self.source):
            raise ContentMismatch(
                f"{self.source.wheel_name} is of {content.dist_info.removesuffix('.dist-info')}: it is not "
                f"{self.source.package} {self.source.version}",
                "compare package, version and url in the catalog",
            )
        self._require_locked_contents(content)

    def _require_locked_contents(self, content: WheelContent) -> None:
        expected = self._locked_contents
        found = wheel_contents_sha256(content)
        if expected is None:
            _LOG.info("%s: not in the lock: contents_sha256 %s", self.source.wheel_name, found)
        if expected not in (None, found):
            raise ContentMismatch(
                f"{self.source.wheel_name} holds other files (contents_sha256 {found}) than the lock has ({expected})",
                "correct the lock, or write it again",
            )

    def _has_model(self, paths: Iterable[str]) -> bool:
        folder = f"{self.source.package}/{self.source.package}-{self.source.version}"
        return {f"{folder}/{name}" for name in SPACY_MODEL_FILES} <= set(paths)

    def _publish(
        self, staged_tree: Path, written: _WrittenFiles, check_cancelled: Callable[[], None]
    ) -> None:
        """Rename the tree into place, or replace the wrong files of a damaged tree."""
        if os.path.lexists(self._tree) and (self._tree.is_symlink() or not self._tree.is_dir()):
            self._tree.unlink()
        if not (self._rename_tree(staged_tree) or self._tree.is_dir()):
            rename(staged_tree, self._tree)
        elif staged_tree.is_dir():
            for path, (size, sha256) in sorted(written.items()):
                check_cancelled()
                self._replace_if_wrong(staged_tree / path, self._tree / path, size, sha256)
        sync_folder(self._tree.parent)

    def _rename_tree(self, staged_tree: Path) -> bool:
        """Rename the tree, unless there is one: damaged, or just published by another user."""
        if os.path.lexists(self._tree):
            return False
        try:
            retry_temporary(lambda: rename(staged_tree, self._tree))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            return False
        return True

    def _replace_if_wrong(self, staged_file: Path, target: Path, size: int, sha256: str) -> None:
        atomic.remove_obstruction(target, self._tree, CacheBoundary(self._tree))
        if _has_content(target, size, sha256):
            return
        atomic.make_folders(target.parent, CacheBoundary(self._tree))
        rename(staged_file, target)
        sync_folder(target.parent)


def _has_content(path: Path, size: int, sha256: str) -> bool:
    """Return whether this is a regular file, and no link to one, with that content."""
    try:
        state = path.lstat()
        return stat.S_ISREG(state.st_mode) and state.st_size == size and hash_content(path, size)[0] == sha256
    except OSError:
        return False


def _dist_info(paths: Iterable[str]) -> str:
    return next(path.partition("/")[0] for path in paths if path.endswith(".dist-info/RECORD"))
