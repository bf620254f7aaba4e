"""Reads an archive into a cache: each file is verified before it gets its name, and the manifest comes last.

Nothing that the archive says is trusted: its files must be those of its own manifest, in that order and no others, and
the manifest must be that of its own catalog. Whatever instant it ends at, the cache keeps the generations it had.

Gives the files of an archive their places: verified beside them, then renamed; what is right already stays.

A hub file becomes a blob and a link to it, as the hub client writes them; a file of a package goes into the package's
tree. A reader that has a wrong file open keeps it: nothing is written in place.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from cache_warmer.archive.format import (
    DESCRIPTION,
    MAX_METADATA_BYTES,
    REMEDY,
    Contents,
    manifest_name,
    member_name,
    parse_contents,
)
from cache_warmer.archive.tar import TarReader
from cache_warmer.artifacts.artifact import Artifact, SpaceNeeded
from cache_warmer.artifacts.hf_layout import recorded_list
from cache_warmer.disk import atomic, volume
from cache_warmer.disk.atomic import remove_obstruction
from cache_warmer.disk.preflight import Probe, preflight
from cache_warmer.disk.volume import FreeOf
from cache_warmer.errors import ArchiveInvalid, VolumeUnsuitable
from cache_warmer.lease.base import Lease
from cache_warmer.records import write_manifest, write_record
from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.transfer.hashing import ContentHash
from cache_warmer.transfer.staging import staging_name
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.check.check import check
from model_cache.check.types import CheckReport, Tier
from model_cache.errors import ModelCacheError
from model_cache.layout import repository_folder, snapshot_folder
from model_cache.manifest import FileRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.reasons import Reason
from model_cache.safe_names import why_unsafe
from model_cache.warm_status import Phase

_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


class FilePlacer:
    """Places the files of one archive, and counts what it wrote."""

    def __init__(self, places: Places, contents: Contents) -> None:
        self._places, self._contents = places, contents
        self.bytes_written = self.files_written = 0

    def place(self, file: FileRecord, chunks: Iterable[bytes]) -> None:
        """Take a file's content. Raises `ArchiveInvalid`, `VolumeUnsuitable`, `OSError`."""
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
                atomic.write_file(path, content)

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
        atomic.make_folders(path.parent)
        path.unlink(missing_ok=True)  # of an import that was killed
        descriptor = os.open(path, _FLAGS, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as out:
                for chunk in chunks:
                    content.update(chunk)
                    out.write(chunk)
                out.flush()
                atomic.readable_by_all(out.fileno(), path.parent)
                os.fsync(out.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _into_snapshot(self, staged: Path, target: Path, blob: Path) -> None:
        os.replace(staged, blob)
        atomic.sync_folder(blob.parent)
        if not self._link(target, blob):
            blob.unlink()  # without links each name is a file of its own, as the hub client does it

    def _link(self, target: Path, blob: Path) -> bool:
        """Link a name to its blob, or copy the blob where there are no links. Returns whether it is a link."""
        self._make_room(target, self._places.hub.path)
        if atomic.place_link(target, blob):
            return True
        atomic.copy_file(blob, target)
        return False

    def _into_tree(self, staged: Path, target: Path) -> None:
        self._make_room(target, self._places.spacy.path)
        os.replace(staged, target)
        atomic.sync_folder(target.parent)

    def _make_room(self, target: Path, place: Path) -> None:
        remove_obstruction(target, place)
        atomic.make_folders(target.parent)
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


@dataclass(frozen=True, slots=True)
class Imported:
    """What a run did: the archive's contents, the bytes that were not there yet, and the deep check at its end."""

    contents: Contents
    bytes_written: int
    files_written: int
    report: CheckReport


@dataclass(frozen=True, slots=True)
class Importing:
    """One run.

    Attributes:
        reader: of the archive.
        places, lease: where to, and by which right.
        artifact: a model as stored; asked to point its names, never to fetch.
        refer: notes who uses the generation, if somebody was named.
        probe, free_here: of the preflight.
        status: makes the file that tells others how far the import of a generation is; it shows `counter`.
        known: told what the archive says that it holds, before anything is written.
        counter, showing: the progress, and what shows it.
    """

    reader: TarReader
    places: Places
    lease: Lease
    artifact: Callable[[Model], Artifact]
    refer: Callable[[str, Sequence[Model]], None] | None
    probe: Probe
    status: Callable[[str], StatusFile]
    known: Callable[[Contents], None] = lambda _: None
    free_here: FreeOf = volume.free_of
    counter: ProgressCounter = field(default_factory=ProgressCounter)
    showing: Callable[[ProgressCounter], AbstractContextManager[None]] | None = None

    def run(self) -> Imported:
        """Import. Raises `ModelCacheError`."""
        with self._told():
            return self._run()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Let a failed system call say what it means for the volume."""
        try:
            yield
        except OSError as error:
            raise volume.of_os_error(error, self.places.own.path, on_host=self._on_host) from error

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    def _run(self) -> Imported:
        contents = self._contents()
        self.known(contents)
        self._preflight(contents)
        status = self.status(contents.manifest.generation)
        with self.lease.held(), status.maintain(), self._told():
            self._preflight(contents)
            status.enter_phase(Phase.IMPORTING)
            placing = FilePlacer(self.places, contents)
            files = list(contents.files())
            self.counter.expect(contents.bytes, len(files))
            if self.showing is None:
                self._files(files, placing)
            else:
                with self.showing(self.counter):
                    self._files(files, placing)
            self._demand_end()
            status.enter_phase(Phase.PUBLISHING)
            report = self._publish(contents, placing)
        return Imported(contents, placing.bytes_written, placing.files_written, report)

    def _contents(self) -> Contents:
        """Read the two documents that every archive begins with."""
        self._demand(self.reader.next(), DESCRIPTION)
        description = self.reader.whole(MAX_METADATA_BYTES)
        member = self.reader.next()
        if member is None or not member[0].startswith(manifest_name("").removesuffix(".json")):
            raise ArchiveInvalid(f"no manifest follows its {DESCRIPTION}", REMEDY)
        contents = parse_contents(description, self.reader.whole(MAX_METADATA_BYTES))
        self._demand(member, manifest_name(contents.manifest.generation))
        return contents

    def _preflight(self, contents: Contents) -> None:
        verdict = preflight(self._rooms(contents), self.places, probe=self.probe, free_here=self.free_here)
        if verdict.error is not None:
            raise verdict.error

    def _rooms(self, contents: Contents) -> list[SpaceNeeded]:
        missing = [file for file in contents.files() if self._size_of(file) != file.bytes]
        rooms = []
        for place in (PlaceName.HUB, PlaceName.SPACY):
            own = [file for file in missing if file.place is place]
            folders = {parent for file in own for parent in PurePosixPath(file.path).parents}
            names = 2 if place is PlaceName.HUB else 1  # a blob and its link
            rooms.append(SpaceNeeded(place, sum(file.bytes for file in own), names * len(own) + len(folders)))
        return rooms

    def _size_of(self, file: FileRecord) -> int | None:
        try:
            return (self.places.of(file.place).path / file.path).stat().st_size
        except OSError:
            return None

    def _files(self, files: Sequence[FileRecord], placing: FilePlacer) -> None:
        for file in files:
            name = member_name(file)
            self.lease.check()
            self._demand(self.reader.next(), name, file.bytes)
            with self.counter.track_file(file.path):
                placing.place(file, self._counted())

    def _counted(self) -> Iterator[bytes]:
        for chunk in self.reader.chunks():
            self.counter.add(len(chunk))
            yield chunk

    def _demand(self, member: tuple[str, int] | None, name: str, size: int | None = None) -> None:
        if member is None:
            raise ArchiveInvalid(f"it ends where {name} should follow", REMEDY)
        if member[0] != name:
            unsafe = why_unsafe(member[0])
            odd = f", which {unsafe}" if unsafe else ""
            raise ArchiveInvalid(f"it holds {member[0][:300]!r}{odd}, where {name} should be", REMEDY)
        if size is not None and member[1] != size:
            raise ArchiveInvalid(f"{name} has {member[1]} bytes in it, where {size} should be", REMEDY)

    def _demand_end(self) -> None:
        member = self.reader.next()
        if member is not None:
            raise ArchiveInvalid(f"it holds {member[0][:300]!r}, which its manifest does not list", REMEDY)

    def _publish(self, contents: Contents, placing: FilePlacer) -> CheckReport:
        """Read all of it once more from the disk, then let the manifest appear, then the names that move."""
        for record in contents.manifest.models:
            write_record(record, self.places)
        report = check(contents.models, self.places, Tier.DEEP, whole_catalog=False)
        if report.reason is not Reason.OK:
            problem = next(problem for model in report.models for problem in model.problems)
            raise ModelCacheError(
                f"{problem.file}: {problem.detail}, though it was just written",
                "look at the disk below the volume, then import again",
                reason=problem.reason,
            )
        if not self._on_host:
            placing.write_tree_lists()
        self.lease.check()
        write_manifest(contents.models, contents.manifest.models, self.places)
        for model in contents.models:
            self.artifact(model).update_refs()
        if self.refer is not None:
            self.refer(contents.manifest.generation, contents.models)
        return report
