"""A Hugging Face snapshot as an artifact, in the hub client's own layout.

models--ORG--NAME/blobs/<etag>                    content, named by hash
models--ORG--NAME/snapshots/<commit>/<path>       relative link to its blob
models--ORG--NAME/refs/main                       the commit, without a line break
models--ORG--NAME/trees/<commit>.json             the files of the commit (of ours alone)
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cache_warmer.artifacts.artifact import Download, Expected, HashFile, Holding, Room, Staged, Wanted
from cache_warmer.artifacts.blob_names import BlobNames, read_list
from cache_warmer.artifacts.references import point_reference, point_torch_folder
from cache_warmer.artifacts.selection import expected, select
from cache_warmer.artifacts.tree_list import recorded_list, tree_list
from cache_warmer.disk import durable, links
from cache_warmer.disk.obstacles import clear_way
from cache_warmer.errors import VolumeUnsuitable
from cache_warmer.hub.connection import Hub, RemoteFile
from cache_warmer.transfer.hashing import difference
from cache_warmer.transfer.staging import final_name, staged_bytes, staging_name
from model_cache.catalogs.catalog import HuggingFaceSource, Model
from model_cache.catalogs.lock import LockedFile, LockedModel
from model_cache.layout import record_path, repository_folder, snapshot_folder
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import HOST, PlaceName, Places


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The selected files of one commit. ``hub`` is called by ``resolve`` alone."""

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

    def room(self, missing: tuple[Download, ...]) -> Room:
        """Bytes that are not staged yet; a blob and a link a file, and its folders."""
        sizes = {
            one.staging: one.expected.bytes or 0 for one in missing
        }  # one content may have several names
        rest = sum(size - staged_bytes(staging, size) for staging, size in sizes.items())
        folders = {parent for one in missing for parent in PurePosixPath(one.name).parents}
        return Room(PlaceName.HUB, rest, 2 * len(missing) + len(folders) + 4 if missing else 0)

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
            clear_way(blob, self._folder)
            os.replace(staged.path, blob)
            durable.sync_folder(blob.parent)
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
            durable.write_file(path, content)

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
        durable.write_file(path, recorded_list(files_of_list, kept))

    def point(self) -> None:
        """Point ``refs/main`` and the older sentence-transformers folder at this commit, where they are ours."""
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
        clear_way(path, self._folder)
        durable.make_folders(path.parent)
        if not path.parent.resolve().is_relative_to(self.places.hub.path.resolve()):
            raise VolumeUnsuitable(
                f"{path.parent} leads out of the cache, to {path.parent.resolve()}",
                "move that folder into the cache, or name the folder it leads to with HF_HUB_CACHE",
            )
        if links.place_link(path, blob):
            return True
        durable.copy_file(blob, path)
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
