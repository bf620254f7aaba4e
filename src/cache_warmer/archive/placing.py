"""Gives the files of an archive their places: verified beside them, then renamed; what is right already stays.

A hub file becomes a blob and a link to it, as the hub client writes them; a file of a package goes into the package's
tree. A reader that has a wrong file open keeps it: nothing is written in place.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cache_warmer.archive.contents import REMEDY, Contents
from cache_warmer.artifacts.tree_list import recorded_list
from cache_warmer.disk import durable, links
from cache_warmer.disk.obstacles import clear_way
from cache_warmer.errors import ArchiveInvalid, VolumeUnsuitable
from cache_warmer.transfer.hashing import ContentHash
from cache_warmer.transfer.staging import staging_name
from model_cache.catalogs.catalog import HuggingFaceSource
from model_cache.layout import repository_folder, snapshot_folder
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName, Places

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Placing:
    """Places the files of one archive, and counts what it wrote."""

    def __init__(self, places: Places, contents: Contents) -> None:
        self._places, self._contents = places, contents
        self.bytes_written = self.files_written = 0

    def place(self, file: FileRecord, chunks: Iterable[bytes]) -> None:
        """Take a file's content. Raises ``ArchiveInvalid``, ``VolumeUnsuitable``, ``OSError``."""
        target = self._places.of(file.place).path / file.path
        blob = self._blob(file)
        is_small = len(self._contents.blobs.get(file.path, "")) == 40  # named by git's sha1
        content = ContentHash(file.bytes if is_small else None)
        there = self._is_right(target, file)
        if there or (blob is not None and self._is_right(blob, file)):
            for chunk in chunks:
                content.update(chunk)
            self._demand(content, file)
            if not there and blob is not None:  # another commit brought it
                self._link(target, blob)
            return
        with self._staged(self._staging(file, blob), content, chunks) as staged:
            self._demand(content, file)
            if blob is None:
                self._into_tree(staged, target)
            else:
                self._into_snapshot(staged, target, blob)
        self.bytes_written += file.bytes
        self.files_written += 1

    def write_tree_lists(self) -> None:
        """Write the hub client's list of each commit, by which its offline calls find the files."""
        for model in self._contents.models:
            if not isinstance(model.source, HuggingFaceSource):
                continue
            folder = self._places.hub.path / repository_folder(model.source.repository)
            path = folder / "trees" / f"{model.source.revision}.json"
            content = recorded_list(self._listed(model.source))
            if not path.is_file() or path.read_bytes() != content:
                durable.write_file(path, content)

    def _listed(self, source: HuggingFaceSource) -> list[tuple[str, FileRecord, str]]:
        prefix = f"{snapshot_folder(source)}/"
        return [
            (file.path.removeprefix(prefix), file, self._contents.blobs[file.path])
            for file in self._contents.files()
            if file.place is PlaceName.HUB and file.path.startswith(prefix)
        ]

    def _blob(self, file: FileRecord) -> Path | None:
        if file.place is not PlaceName.HUB:
            return None
        repository = file.path.partition("/")[0]
        return self._places.hub.path / repository / "blobs" / self._contents.blobs[file.path]

    def _staging(self, file: FileRecord, blob: Path | None) -> Path:
        if blob is not None:
            return blob.with_name(staging_name(f"{blob.name}.import", self._places))
        folder = self._places.spacy.path / ".packages" / ".staging"
        return folder / staging_name(f"{file.sha256}.import", self._places)

    def _is_right(self, target: Path, file: FileRecord) -> bool:
        """Whether the file is there, inside its place, with that content; a link that leads out of it is not."""
        root = self._places.of(file.place).path.resolve()
        try:
            real = target.resolve(strict=True)
            if not real.is_relative_to(root) or not real.is_file() or real.stat().st_size != file.bytes:
                return False
            with real.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            return False

    @contextmanager
    def _staged(self, path: Path, content: ContentHash, chunks: Iterable[bytes]) -> Iterator[Path]:
        """Write the content beside its place, synced; what is not renamed in the block goes."""
        durable.make_folders(path.parent)
        path.unlink(missing_ok=True)  # of an import that was killed
        descriptor = os.open(path, _FLAGS, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as out:
                for chunk in chunks:
                    content.update(chunk)
                    out.write(chunk)
                out.flush()
                durable.readable_by_all(out.fileno(), path.parent)
                os.fsync(out.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _into_snapshot(self, staged: Path, target: Path, blob: Path) -> None:
        os.replace(staged, blob)
        durable.sync_folder(blob.parent)
        if not self._link(target, blob):
            blob.unlink()  # without links each name is a file of its own, as the hub client does it

    def _link(self, target: Path, blob: Path) -> bool:
        """Link a name to its blob, or copy the blob where there are no links. Returns whether it is a link."""
        self._make_room(target, self._places.hub.path)
        if links.place_link(target, blob):
            return True
        durable.copy_file(blob, target)
        return False

    def _into_tree(self, staged: Path, target: Path) -> None:
        self._make_room(target, self._places.spacy.path)
        os.replace(staged, target)
        durable.sync_folder(target.parent)

    def _make_room(self, target: Path, place: Path) -> None:
        clear_way(target, place)
        durable.make_folders(target.parent)
        real = target.parent.resolve()
        if not real.is_relative_to(place.resolve()):
            raise VolumeUnsuitable(
                f"{target.parent} leads out of the cache, to {real}", "move that folder into the cache"
            )

    def _demand(self, content: ContentHash, file: FileRecord) -> None:
        blob = self._contents.blobs.get(file.path, "")
        if content.sha256() != file.sha256:
            wrong = f"the sha256 {content.sha256()}, where its manifest says {file.sha256}"
        elif file.place is PlaceName.HUB and len(blob) == 40 and content.git_sha1() != blob:
            wrong = f"the git sha1 {content.git_sha1()}, where it says {blob}"
        else:
            return
        raise ArchiveInvalid(f"{file.path} has in it {wrong}", REMEDY)
