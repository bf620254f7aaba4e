"""A Hugging Face snapshot as an artifact, in the hub client's own layout.

    models--ORG--NAME/blobs/<etag>                    content, named by its hash
    models--ORG--NAME/snapshots/<commit>/<path>       relative link to the blob
    models--ORG--NAME/refs/main                       the commit
    models--ORG--NAME/trees/<commit>.json             the selected files of the commit

`resolve` selects the files of the commit that the catalog names and combines the sizes and hashes of lock and hub: a
contradiction ends the run before a byte is fetched. A lock that knows every file needs no hub (`locked_files`). Blobs
are shared by the commits of a repository, so a file that another commit brought is linked and not fetched. Where a file
system has no links, or `HF_HUB_DISABLE_SYMLINKS` is set, each name gets a copy.

Names and hashes that the hub lists become paths in the cache, so both are checked first.
"""

import errno
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from cache_warmer.artifacts.artifact import CacheState, HashFile, Resolution, WriteRight
from cache_warmer.artifacts.former_folders import former_folders, update_former_folders
from cache_warmer.artifacts.hf_layout import (
    update_main_ref,
    update_tree_list,
)
from cache_warmer.artifacts.locked_files import list_locked_files
from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import try_lock
from cache_warmer.disk.preflight import SpaceNeeded
from cache_warmer.disk.volume import retry_temporary
from cache_warmer.errors import ContentMismatch, HubError, HubNotFound, LeaseLost
from cache_warmer.hub.client import Hub, RemoteFile
from cache_warmer.transfer.claim import staged_bytes
from cache_warmer.transfer.download import Download, ExpectedContent, StagedBody
from cache_warmer.transfer.hashing import describe_mismatch
from cache_warmer.transfer.hashing import hash_file as hash_content
from cache_warmer.transfer.staging import final_name, staging_name
from model_cache.catalog.catalog import HuggingFaceSource, Model, matching_names
from model_cache.catalog.lock import LockedFile, LockedModel
from model_cache.containment import CacheBoundary
from model_cache.errors import UsageError
from model_cache.file_io import rename, sync_folder
from model_cache.layout import recorded_file_path, repository_folder, snapshot_folder
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.safe_names import unwritable_reason

_LOG: Final = logging.getLogger(__name__)
_GIT_SHA1: Final = re.compile("[0-9a-f]{40}")
_SHA256: Final = re.compile("[0-9a-f]{64}")
# Characters of a bad hash that the message shows.
_MAX_SHOWN_HASH: Final = 100
_REMEDY_WITHOUT_LISTING: Final = (
    "; a mirror without lists of files needs a lock with size and hash of every file: run `cache-warmer lock` where "
    "the hub can be reached"
)
# Inodes beside those of the files: the repository's folder, its blobs, its snapshots, and the list of the commit.
_FIXED_INODES: Final = 4


def select_files(files: Sequence[RemoteFile], patterns: Sequence[str], label: str) -> tuple[RemoteFile, ...]:
    """Return the files that a name or pattern of the catalog selects, sorted by name.

    Args:
        files: all files of the commit.
        patterns: names and patterns of the catalog.
        label: repository and commit, for messages.

    Raises:
        HubNotFound: a name or pattern selects nothing.
        ContentMismatch: the hub lists a name, or a hash, that must not be used in a path.
    """
    by_path = {file.path: file for file in files}
    selected: dict[str, RemoteFile] = {}
    for pattern in patterns:
        names = matching_names(pattern, by_path)
        if not names:
            raise HubNotFound(
                f'{label}: the catalog names "{pattern}", which this commit does not have',
                "compare the file names in the catalog with the hub's",
            )
        selected.update((name, by_path[name]) for name in names)
    folders = {str(folder) for path in selected for folder in PurePosixPath(path).parents}
    for file in selected.values():
        unsafe = unwritable_reason(file.path)
        if not unsafe and file.path in folders:
            unsafe = "is a folder of other files, too"
        if unsafe:
            raise ContentMismatch(
                f"{label}: the hub lists the file name {file.path!r}, which {unsafe}",
                "do not use this repository, or name its files one by one in the catalog",
            )
        _require_hash(file, label)
    return tuple(selected[path] for path in sorted(selected))


def expected_content(file: RemoteFile, locked: Mapping[str, LockedFile], label: str) -> ExpectedContent:
    """Return what the content of a file must be: the lock's values where it has some, else the hub's.

    Args:
        file: the file as the hub lists it.
        locked: the lock's files of the same commit, by name.
        label: repository and commit, for messages.

    Raises:
        ContentMismatch: the lock and the hub contradict each other.
    """
    small = file.lfs_sha256 is None
    hub = ExpectedContent(file.bytes, file.lfs_sha256, file.blob_id if small else None, "hub")
    lock = locked.get(file.path)
    if lock is None:
        return hub
    pairs = [("bytes", lock.bytes, hub.bytes), ("sha256", lock.sha256, hub.sha256)]
    if small:
        pairs.append(("git sha1", lock.git_sha1, hub.git_sha1))
    for name, of_lock, of_hub in pairs:
        if of_lock is not None and of_hub is not None and of_lock != of_hub:
            raise ContentMismatch(
                f"{label}: {file.path}: the hub offers {name} {of_hub}, the lock says {of_lock}",
                "find out which of the two is right; if it is the hub, write the lock again",
            )
    known = lock.bytes is not None or lock.sha256 is not None or lock.git_sha1 is not None
    return ExpectedContent(hub.bytes, lock.sha256 or hub.sha256, hub.git_sha1, "lock" if known else "hub")


@dataclass(frozen=True, slots=True)
class HuggingFaceSnapshot:
    """The selected files of one commit. See `Artifact` for the methods.

    Attributes:
        model: the entry of the catalog.
        source: repository, commit and selected files.
        places: where the parts of the cache lie.
        locked: the entry of the lock for this commit; None if it has none.
        hub: used by `resolve` and `locate` alone.
        links: whether files may be symbolic links; without, each name gets a copy (`HF_HUB_DISABLE_SYMLINKS`).
    """

    model: Model
    source: HuggingFaceSource
    places: Places
    locked: LockedModel | None
    hub: Hub
    links: bool = True

    @property
    def _folder(self) -> Path:
        return self.places.hub.path / repository_folder(self.source.repository)

    @property
    def _snapshot(self) -> Path:
        return self.places.hub.path / snapshot_folder(self.source)

    @property
    def _boundary(self) -> CacheBoundary:
        return self.places.boundary_of(self._folder)

    @property
    def _tree_list(self) -> Path:
        return self._folder / "trees" / f"{self.source.revision}.json"

    def resolve(self) -> Resolution:
        """List the commit, on the hub or by the lock, and select what the catalog names."""
        label = f"{self.source.repository} at {self.source.revision[:12]}"
        listed, repository_bytes = self._list_files(label)
        locked = self.locked.files if self.locked is not None else {}
        downloads = tuple(
            self._download(file, locked, label) for file in select_files(listed, self.source.files, label)
        )
        sources = {download.expected.source for download in downloads}
        return Resolution(downloads, repository_bytes, "lock" if sources == {"lock"} else "hub")

    def may_need_hub(self) -> bool:
        """Return whether the hub is needed: to list the commit, or for a file that is obviously missing."""
        known = list_locked_files(self.source, self.locked)
        return known is None or not all((self._snapshot / file.path).exists() for file in known.files)

    def locate(self, download: Download) -> Download:
        """Return the download with the hub's address of the file, and the token."""
        url, headers = self.hub.file_url(self.source.repository, self.source.revision, download.name)
        return replace(download, url=url, headers=headers)

    def inspect_cache(
        self,
        resolution: Resolution,
        record: ModelRecord | None,
        hash_file: HashFile | None,
        damaged: frozenset[str] = frozenset(),
    ) -> CacheState:
        """Return what is cached; a blob that another commit brought is linked."""
        files = record.files if record is not None else ()
        recorded = {file.path: file for file in files if recorded_file_path(self.places, file) not in damaged}
        present: list[tuple[Download, tuple[FileRecord, ...]]] = []
        missing: list[Download] = []
        for download in resolution.downloads:
            found = self._find(download, recorded.get(self._path(download.name)), hash_file)
            if found is None:
                missing.append(download)
            else:
                present.append((download, (found,)))
        return CacheState(tuple(present), tuple(missing))

    def space_needed(self, missing: tuple[Download, ...]) -> SpaceNeeded:
        """Return the bytes that are not staged yet, and the inodes: blobs, one or two links each, folders."""
        sizes = {one.staging: one.expected.bytes or 0 for one in missing}  # several names may share a content
        rest = sum(size - staged_bytes(staging, size, lock=try_lock) for staging, size in sizes.items())
        folders = {parent for one in missing for parent in PurePosixPath(one.name).parents}
        names = 3 if former_folders(self.model, self.places) else 2  # of each file
        inodes = names * len(missing) + 2 * len(folders) + _FIXED_INODES if missing else 0
        linked = self._folder if self._folder.is_symlink() else None
        return SpaceNeeded(PlaceName.HUB, rest if self.links else 2 * rest, inodes, linked)

    def target_folders(self, missing: tuple[Download, ...]) -> frozenset[Path]:
        """Return the folders of blobs and of links."""
        links = {(self._snapshot / one.name).parent for one in missing}
        return frozenset(links | {one.staging.parent for one in missing})

    def name_folders(self) -> frozenset[Path]:
        """Return the folders of references, of the tree list, and of the links for older sentence-transformers."""
        folders = {self._folder / "refs"} | ({self._tree_list.parent} if self.places.label != HOST else set())
        return frozenset(folders | former_folders(self.model, self.places))

    def install(
        self, same: tuple[Download, ...], staged: StagedBody, right: WriteRight, *, shared: bool = False
    ) -> tuple[FileRecord, ...]:
        """Rename the body to its blob, unless another commit's snapshot has done so, and link its names to it."""
        blob = _blob_of(same[0])
        with right.publishing():
            retry_temporary(lambda: self._publish_blob(staged, blob))
            linked = [self._link(download.name, blob) for download in same]
            if not all(linked) and not shared:
                blob.unlink()  # without links each name has its own copy, as with the hub client
        return tuple(self._record(download.name, staged.bytes, staged.sha256) for download in same)

    def update_file_list(self, files: tuple[FileRecord, ...], offer: Resolution | None = None) -> None:
        """Write the tree list of the commit."""
        blob_names = {self._path(one.name): _blob_of(one).name for one in offer.downloads} if offer else {}
        update_tree_list(self.places, snapshot_folder(self.source), files, blob_names)

    def update_refs(self) -> None:
        """Point `refs/main` and the folders for older sentence-transformers at this commit, where they are ours."""
        update_main_ref(self._folder, self.source.revision, self.places)
        if self.links:
            update_former_folders(self.model, self.source, self.places)

    def _list_files(self, label: str) -> tuple[tuple[RemoteFile, ...], int | None]:
        """Return the files to select from, and the size of the whole repository (None: not known)."""
        known = list_locked_files(self.source, self.locked)
        if known is not None and known.is_certain:
            return known.files, known.repository_bytes
        try:
            listed = self.hub.list_files(self.source.repository, self.source.revision)
        except (HubError, UsageError) as error:
            if known is None:
                if isinstance(error, HubNotFound):
                    error.remedy += _REMEDY_WITHOUT_LISTING
                raise
            _LOG.warning(
                "%s: the files are those of the lock, because the hub has no list: %s", label, error.message
            )
            return known.files, known.repository_bytes
        return listed, sum(file.bytes for file in listed)

    def _download(self, file: RemoteFile, locked: Mapping[str, LockedFile], label: str) -> Download:
        expected = expected_content(file, locked, label)
        staging = self._folder / "blobs" / staging_name(file.etag, self.places)
        file_label = f"{self.source.repository}: {file.path}"
        return Download(file.path, "", {}, expected, staging, self._boundary, file_label, file.blob_id)

    def _publish_blob(self, staged: StagedBody, blob: Path) -> None:
        atomic.remove_obstruction(blob, self._folder, self._boundary)
        try:
            rename(staged.path, blob)
        except FileNotFoundError:
            # moved by another commit's snapshot of this run: its content proves it
            if not _has_content(blob, staged):
                raise LeaseLost(
                    f"another writer took {staged.path.name} before it was published",
                    "run one warmer at a time; run the same command again to see what is left to do",
                ) from None
        sync_folder(blob.parent)

    def _find(
        self, download: Download, recorded: FileRecord | None, hash_file: HashFile | None
    ) -> FileRecord | None:
        """Return the record of a cached file that is what is expected, under its name or as a blob."""
        name, blob = download.name, _blob_of(download)
        for path in (self._snapshot / name, blob):
            size = self._size_inside(path)
            if size is None or (download.expected.bytes is not None and size != download.expected.bytes):
                continue
            if recorded is not None and path != blob and _matches(recorded, size, download.expected):
                return recorded
            if hash_file is None:
                return self._record(name, size, download.expected.sha256 or "")
            hashes = _hash_if_readable(path, size, hash_file)
            if hashes is None:
                continue
            sha256, git_sha1 = hashes
            if describe_mismatch(download.expected, size, sha256, git_sha1):
                continue
            if path == blob:
                self._link(name, blob)
            return self._record(name, size, sha256)
        return None

    def _size_inside(self, path: Path) -> int | None:
        """Return the size of a regular file whose real path lies in the cache, else None."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a circle of links
            return None
        if self._boundary.escape_of(path) is not None or not real.is_file():
            return None
        return real.stat().st_size

    def _link(self, name: str, blob: Path) -> bool:
        """Link a name to its blob, or copy the blob where there are no links; return whether it is a link."""
        path = self._snapshot / name
        atomic.remove_obstruction(path, self._folder, self._boundary)
        if self.links and atomic.replace_link(path, blob, self._boundary):
            return True
        atomic.copy_file(blob, path, self._boundary)
        return False

    def _record(self, name: str, size: int, sha256: str) -> FileRecord:
        return FileRecord(PlaceName.HUB, self._path(name), size, sha256)

    def _path(self, name: str) -> str:
        return str(snapshot_folder(self.source) / name)


def _require_hash(file: RemoteFile, label: str) -> None:
    """Require well-formed hashes: they become names of files in the cache."""
    for value, pattern in ((file.blob_id, _GIT_SHA1), (file.lfs_sha256 or "0" * 64, _SHA256)):
        if not pattern.fullmatch(str(value)):  # the hub library does not check its type
            raise ContentMismatch(
                f"{label}: the hub lists {str(value)[:_MAX_SHOWN_HASH]!r} as a hash of {file.path}, which is none",
                "do not use this hub or mirror (--hub, HF_ENDPOINT)",
            )


def _has_content(blob: Path, staged: StagedBody) -> bool:
    try:
        return blob.stat().st_size == staged.bytes and hash_content(blob, staged.bytes)[0] == staged.sha256
    except OSError:
        return False


def _hash_if_readable(path: Path, size: int, hash_file: HashFile) -> tuple[str, str] | None:
    """Return both hashes; None after an input/output error: the file is fetched again, into other disk blocks."""
    try:
        return hash_file(path, size)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None


def _blob_of(download: Download) -> Path:
    return download.staging.with_name(final_name(download.staging.name))


def _matches(recorded: FileRecord, size: int, expected: ExpectedContent) -> bool:
    """Return whether a file that was verified before still is what is expected, without reading it."""
    return recorded.bytes == size and expected.sha256 in (None, recorded.sha256)
