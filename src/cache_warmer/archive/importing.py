"""Reads an archive into a cache: each file is verified before it gets its name, and the manifest comes last.

Nothing that the archive says is trusted: its files must be those of its own manifest, in that order and no others, and
the manifest must be that of its own catalog. Whatever instant it ends at, the cache keeps the generations it had.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cache_warmer.archive.contents import (
    DESCRIPTION,
    MAX_METADATA_BYTES,
    REMEDY,
    Contents,
    manifest_name,
    member_name,
    parse_contents,
)
from cache_warmer.archive.placing import Placing
from cache_warmer.archive.tar import TarReader
from cache_warmer.artifacts.artifact import Artifact, Room
from cache_warmer.disk import volume
from cache_warmer.disk.preflight import Probe, preflight
from cache_warmer.disk.volume import FreeOf
from cache_warmer.errors import ArchiveInvalid
from cache_warmer.lease.lease import Lease
from cache_warmer.records import write_manifest, write_record
from cache_warmer.reports.progress import Counter
from cache_warmer.reports.status_file import StatusFile
from model_cache.catalogs.catalog import Model
from model_cache.checking.check import check
from model_cache.checking.values import CheckReport, Tier
from model_cache.errors import ModelCacheError
from model_cache.manifest import FileRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.reasons import Reason
from model_cache.safe_names import why_unsafe
from model_cache.warm_status import Phase


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
        status: makes the file that tells others how far the import of a generation is; it shows ``counter``.
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
    counter: Counter = field(default_factory=Counter)
    showing: Callable[[Counter], AbstractContextManager[None]] | None = None

    def run(self) -> Imported:
        """Import. Raises ``ModelCacheError``."""
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
        with self.lease.held(), status.kept(), self._told():
            self._preflight(contents)
            status.enter(Phase.IMPORTING)
            placing = Placing(self.places, contents)
            files = list(contents.files())
            self.counter.expect(contents.bytes, len(files))
            if self.showing is None:
                self._files(files, placing)
            else:
                with self.showing(self.counter):
                    self._files(files, placing)
            self._demand_end()
            status.enter(Phase.PUBLISHING)
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

    def _rooms(self, contents: Contents) -> list[Room]:
        missing = [file for file in contents.files() if self._size_of(file) != file.bytes]
        rooms = []
        for place in (PlaceName.HUB, PlaceName.SPACY):
            own = [file for file in missing if file.place is place]
            folders = {parent for file in own for parent in PurePosixPath(file.path).parents}
            names = 2 if place is PlaceName.HUB else 1  # a blob and its link
            rooms.append(Room(place, sum(file.bytes for file in own), names * len(own) + len(folders)))
        return rooms

    def _size_of(self, file: FileRecord) -> int | None:
        try:
            return (self.places.of(file.place).path / file.path).stat().st_size
        except OSError:
            return None

    def _files(self, files: Sequence[FileRecord], placing: Placing) -> None:
        for file in files:
            name = member_name(file)
            self.lease.check()
            self._demand(self.reader.next(), name, file.bytes)
            with self.counter.working_at(file.path):
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

    def _publish(self, contents: Contents, placing: Placing) -> CheckReport:
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
            self.artifact(model).point()
        if self.refer is not None:
            self.refer(contents.manifest.generation, contents.models)
        return report
