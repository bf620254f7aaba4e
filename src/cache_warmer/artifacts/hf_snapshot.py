"""A Hugging Face snapshot as an artifact, in the hub client's own layout.

models--ORG--NAME/blobs/<etag>                    content, named by hash
models--ORG--NAME/snapshots/<commit>/<path>       relative link to its blob
models--ORG--NAME/refs/main                       the commit, without a line break
models--ORG--NAME/trees/<commit>.json             the files of the commit (of ours alone)

Picks the files of a commit that the catalog names, and joins what catalog, lock and hub say of each.
"""

import errno
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from cache_warmer.artifacts.artifact import Download, Expected, HashFile, Holding, SpaceNeeded, Staged, Wanted
from cache_warmer.artifacts.hf_layout import (
    BlobNames,
    point_reference,
    point_torch_folder,
    read_list,
    recorded_list,
    tree_list,
)
from cache_warmer.disk import atomic
from cache_warmer.disk.atomic import remove_obstruction
from cache_warmer.errors import ContentMismatch, HubNotFound, VolumeUnsuitable
from cache_warmer.hub.client import Hub, RemoteFile
from cache_warmer.transfer.hashing import difference
from cache_warmer.transfer.staging import final_name, staged_bytes, staging_name
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.catalog.lock import LockedFile, LockedModel
from model_cache.layout import record_path, repository_folder, snapshot_folder
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.safe_names import why_unsafe

_GIT_SHA1, _SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")


def select(files: Sequence[RemoteFile], patterns: Sequence[str], label: str) -> tuple[RemoteFile, ...]:
    """Return the files that a name or pattern of the catalog picks, in order of name.

    As in the hub client, `*` also passes a slash.

    Raises:
        HubNotFound: a name or pattern picks nothing.
        ContentMismatch: the hub lists a name, or a hash, that must not be used in a path.
    """
    chosen: dict[str, RemoteFile] = {}
    for pattern in patterns:
        picked = [file for file in files if file.path == pattern]
        picked = picked or [file for file in files if fnmatchcase(file.path, pattern)]
        if not picked:
            raise HubNotFound(
                f'{label}: the catalog names "{pattern}", which this commit does not have',
                "compare the file names in the catalog with the hub's",
            )
        chosen.update((file.path, file) for file in picked)
    folders = {str(folder) for path in chosen for folder in PurePosixPath(path).parents}
    for file in chosen.values():
        unsafe = why_unsafe(file.path)
        if not unsafe and file.path in folders:
            unsafe = "is a folder of other files, too"
        if unsafe:
            raise ContentMismatch(
                f"{label}: the hub lists the file name {file.path!r}, which {unsafe}",
                "do not use this repository, or name its files one by one in the catalog",
            )
        _demand_hash(file, label)
    return tuple(chosen[path] for path in sorted(chosen))


def _demand_hash(file: RemoteFile, label: str) -> None:
    """Refuse what is no hash: it becomes the name of a file in the cache."""
    for said, form in ((file.blob_id, _GIT_SHA1), (file.lfs_sha256 or "0" * 64, _SHA256)):
        if not form.fullmatch(str(said)):  # the hub's client does not judge its type
            raise ContentMismatch(
                f"{label}: the hub gives {str(said)[:100]!r} as a hash of {file.path}, which is none",
                "do not use this hub or mirror (--hub, HF_ENDPOINT)",
            )


def expected(file: RemoteFile, locked: Mapping[str, LockedFile], label: str) -> Expected:
    """Return what must arrive: the lock's facts where it has some, else the hub's own.

    Raises:
        ContentMismatch: the lock and the hub contradict each other, before a byte is fetched.
    """
    small = file.lfs_sha256 is None
    said = Expected(file.bytes, file.lfs_sha256, file.blob_id if small else None, "hub")
    lock = locked.get(file.path)
    if lock is None:
        return said
    facts = [("bytes", lock.bytes, said.bytes), ("sha256", lock.sha256, said.sha256)]
    if small:
        facts.append(("git sha1", lock.git_sha1, said.git_sha1))
    for name, of_lock, of_hub in facts:
        if of_lock is not None and of_hub is not None and of_lock != of_hub:
            raise ContentMismatch(
                f"{label}: {file.path}: the hub offers {name} {of_hub}, the lock says {of_lock}",
                "find out which of the two is right; if it is the hub, write the lock anew",
            )
    known = lock.bytes is not None or lock.sha256 is not None or lock.git_sha1 is not None
    return Expected(said.bytes, lock.sha256 or said.sha256, said.git_sha1, "lock" if known else "hub")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The selected files of one commit. `hub` is called by `resolve` alone."""

    model: Model
    source: HuggingFaceSource
    places: Places
    locked: LockedModel | None
    hub: Hub

    @property
    def _folder(self) -> Path:
        return self.places.hub.path / repository_folder(self.source.repository)

    @property
    def _snapshot(self) -> Path:
        return self.places.hub.path / snapshot_folder(self.source)

    def resolve(self) -> Wanted:
        """List the commit on the hub and pick what the catalog names."""
        label = f"{self.source.repository} at {self.source.revision[:12]}"
        listed = self.hub.list_files(self.source.repository, self.source.revision)
        locked = self.locked.files if self.locked is not None else {}
        downloads = tuple(
            self._download(file, locked, label) for file in select(listed, self.source.files, label)
        )
        said_by = {download.expected.said_by for download in downloads}
        return Wanted(downloads, sum(file.bytes for file in listed), "lock" if said_by == {"lock"} else "hub")

    def look(
        self,
        wanted: Wanted,
        record: ModelRecord | None,
        hash_file: HashFile | None,
        wrong: frozenset[str] = frozenset(),
    ) -> Holding:
        """Return what is there; a blob that another commit brought is linked, not fetched again."""
        known = record.files if record is not None else ()
        recorded = {file.path: file for file in known if record_path(self.places, file) not in wrong}
        present: list[tuple[Download, tuple[FileRecord, ...]]] = []
        missing: list[Download] = []
        for download in wanted.downloads:
            found = self._find(download, recorded.get(self._path(download.name)), hash_file)
            if found is None:
                missing.append(download)
            else:
                present.append((download, (found,)))
        return Holding(tuple(present), tuple(missing))

    def room(self, missing: tuple[Download, ...]) -> SpaceNeeded:
        """Bytes that are not staged yet; a blob and a link a file, and its folders."""
        sizes = {
            one.staging: one.expected.bytes or 0 for one in missing
        }  # one content may have several names
        rest = sum(size - staged_bytes(staging, size) for staging, size in sizes.items())
        folders = {parent for one in missing for parent in PurePosixPath(one.name).parents}
        return SpaceNeeded(PlaceName.HUB, rest, 2 * len(missing) + len(folders) + 4 if missing else 0)

    def writes_to(self, missing: tuple[Download, ...]) -> frozenset[Path]:
        """The folders of blobs and of links."""
        links = {(self._snapshot / one.name).parent for one in missing}
        return frozenset(links | {one.staging.parent for one in missing})

    def accept(
        self, same: tuple[Download, ...], staged: Staged, *, shared: bool = False
    ) -> tuple[FileRecord, ...]:
        """Give the body its blob name, unless another commit's snapshot has done so, and link it under its names."""
        blob = _blob_of(same[0])
        if staged.path.exists() or not blob.exists():
            remove_obstruction(blob, self._folder)
            os.replace(staged.path, blob)
            atomic.sync_folder(blob.parent)
        linked = [self._link(download.name, blob) for download in same]
        if not all(linked) and not shared:
            blob.unlink()  # without links each name has its own copy, as the hub client does it
        return tuple(self._record(download.name, staged.bytes, staged.sha256) for download in same)

    def settle(self, wanted: Wanted) -> None:
        """Write the hub client's list of the commit, in a cache of our own only.

        On a host, other projects' online calls would take the short list for the whole.
        """
        if self.places.label == HOST:
            return
        path = self._folder / "trees" / f"{self.source.revision}.json"
        content = tree_list(wanted.downloads)
        if not path.is_file() or path.read_bytes() != content:
            atomic.write_file(path, content)

    def relist(self, files: tuple[FileRecord, ...]) -> None:
        """Write the list anew if it does not name these files: it stands in no manifest, so no check misses it."""
        if self.places.label == HOST:
            return
        path = self._folder / "trees" / f"{self.source.revision}.json"
        names = {
            PurePosixPath(file.path).relative_to(snapshot_folder(self.source)).as_posix(): file
            for file in files
        }
        listed = {name: entry for name, entry in read_list(path).items() if isinstance(entry, dict)}
        if set(names) <= set(listed):
            return
        # another key may have other files of the same commit
        kept = {name: entry for name, entry in listed.items() if (self._snapshot / name).is_file()}
        blobs = BlobNames(self.places.hub.path)
        files_of_list = ((name, file, blobs.of(file)) for name, file in names.items())
        atomic.write_file(path, recorded_list(files_of_list, kept))

    def update_refs(self) -> None:
        """Point `refs/main` and the older sentence-transformers folder at this commit, where they are ours."""
        point_reference(self._folder, self.source.revision, self.places)
        point_torch_folder(self.model, self._folder, self.places)

    def _download(self, file: RemoteFile, locked: Mapping[str, LockedFile], label: str) -> Download:
        url, headers = self.hub.address(self.source.repository, self.source.revision, file.path)
        facts = expected(file, locked, label)
        staging = self._folder / "blobs" / staging_name(file.etag, self.places)
        return Download(
            file.path, url, headers, facts, staging, f"{self.source.repository}: {file.path}", file.blob_id
        )

    def _find(
        self, download: Download, recorded: FileRecord | None, hash_file: HashFile | None
    ) -> FileRecord | None:
        name, blob = download.name, _blob_of(download)
        for path in (self._snapshot / name, blob):
            size = self._size_inside(path)
            if size is None or (download.expected.bytes is not None and size != download.expected.bytes):
                continue
            if recorded is not None and path != blob and _agrees(recorded, size, download.expected):
                return recorded
            if hash_file is None:
                return self._record(name, size, download.expected.sha256 or "")
            hashes = _read(path, size, hash_file)
            if hashes is None:
                continue
            sha256, git_sha1 = hashes
            if difference(download.expected, size, sha256, git_sha1):
                continue
            if path == blob:
                self._link(name, blob)
            return self._record(name, size, sha256)
        return None

    def _size_inside(self, path: Path) -> int | None:
        """Return the size of a regular file whose real path lies in the place; else None."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            return None
        if not real.is_relative_to(self.places.hub.path.resolve()) or not real.is_file():
            return None
        return real.stat().st_size

    def _link(self, name: str, blob: Path) -> bool:
        """Link a name to its blob, or copy the blob where there are no links. Returns whether it is a link."""
        path = self._snapshot / name
        remove_obstruction(path, self._folder)
        atomic.make_folders(path.parent)
        if not path.parent.resolve().is_relative_to(self.places.hub.path.resolve()):
            raise VolumeUnsuitable(
                f"{path.parent} leads out of the cache, to {path.parent.resolve()}",
                "move that folder into the cache, or name the folder it leads to with HF_HUB_CACHE",
            )
        if atomic.place_link(path, blob):
            return True
        atomic.copy_file(blob, path)
        return False

    def _record(self, name: str, size: int, sha256: str) -> FileRecord:
        return FileRecord(PlaceName.HUB, self._path(name), size, sha256)

    def _path(self, name: str) -> str:
        return str(snapshot_folder(self.source) / name)


def _read(path: Path, size: int, hash_file: HashFile) -> tuple[str, str] | None:
    """Return both hashes; None where the disk has lost the file's bytes: a new file will get others."""
    try:
        return hash_file(path, size)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None


def _blob_of(download: Download) -> Path:
    return download.staging.with_name(final_name(download.staging.name))


def _agrees(recorded: FileRecord, size: int, expected_now: Expected) -> bool:
    """Whether a file was verified before and still is what is expected, by what it costs nothing to know."""
    return recorded.bytes == size and expected_now.sha256 in (None, recorded.sha256)
