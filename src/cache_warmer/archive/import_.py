"""Import one generation from an archive into a cache, without a hub.

Runs in the main thread of `cache-warmer import`, while it holds the lease. The archive is read once, as a stream:

1. The two documents at its beginning are parsed, and the space that is needed is compared with what is free.
2. Each file is written under a staging name beside its place, compared with the manifest, and renamed. A file that
   exists with the right content stays. Files are never changed in place, so a reader keeps the file that it has open.
3. All files are read once more from the disk. Then the manifest is written, and last the mutable names.

Nothing in the archive is trusted: its members must be the files of its own manifest, in that order and no others, and
the manifest must fit its own catalog and the lock of the command (`format`). Paths that lead out of the cache through
links are refused. If an import ends early, the cache keeps the generations it had. A killed import leaves at most one
staging file, which the next import or `collect` removes.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from cache_warmer.archive.format import (
    DESCRIPTION,
    MAX_METADATA_BYTES,
    REMEDY,
    ArchiveContents,
    manifest_name,
    member_name,
    parse_contents,
)
from cache_warmer.archive.forms import space_for, stage_form
from cache_warmer.archive.tar import TarReader
from cache_warmer.artifacts.artifact import Artifact
from cache_warmer.artifacts.hf_layout import update_tree_list
from cache_warmer.disk import atomic, volume
from cache_warmer.disk.file_lock import is_abandoned, try_lock
from cache_warmer.disk.preflight import SpaceNeeded, preflight
from cache_warmer.disk.probe import Probe
from cache_warmer.disk.volume import MeasureFreeSpace
from cache_warmer.errors import ArchiveInvalid
from cache_warmer.lease.base import Lease
from cache_warmer.records import make_record, write_manifest, write_record
from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.transfer.hashing import ContentHash
from cache_warmer.transfer.staging import staging_name
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.check.types import CheckReport, Tier
from model_cache.errors import ModelCacheError
from model_cache.file_io import open_regular_file, replacement
from model_cache.layout import PACKAGES, snapshot_folder
from model_cache.manifest import FileRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.reasons import Reason
from model_cache.safe_names import unsafe_reason
from model_cache.warm_status import Phase

# In the name of a staging file, between that of its content and random digits.
_STAGING_MARK: Final = ".import-"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import.

    Attributes:
        contents: the contents of the archive.
        bytes_written, files_written: size and number of the files that were not in the cache before.
        report: the result of the deep check at the end.
    """

    contents: ArchiveContents
    bytes_written: int
    files_written: int
    report: CheckReport


@dataclass(frozen=True, slots=True)
class Importer:
    """One import.

    Attributes:
        reader: reads the archive.
        places: where the parts of the cache are.
        lease: held while anything is written.
        artifact: returns a model as it is stored; used to move its names, never to fetch.
        record_reference: records which user references the generation; None: no user was named.
        probe, free_space: test a folder and measure its free space, for the preflight.
        status: makes the status file for a generation's import; it shows `counter`.
        on_contents: called with the archive's contents before anything is written.
        counter: counts the bytes that are read.
        show_progress: shows the counter while the block runs; None: nothing is shown.
        lock: what it knows of the archive's models is compared with them.
        links: whether files of the hub may be links (see `hf_snapshot`).
    """

    reader: TarReader
    places: Places
    lease: Lease
    artifact: Callable[[Model], Artifact]
    record_reference: Callable[[str, Sequence[Model]], None] | None
    probe: Probe
    status: Callable[[str], StatusFile]
    on_contents: Callable[[ArchiveContents], None] = lambda _: None
    free_space: MeasureFreeSpace = volume.measure_free_space
    counter: ProgressCounter = field(default_factory=ProgressCounter)
    show_progress: Callable[[ProgressCounter], AbstractContextManager[None]] | None = None
    lock: Lock | None = None
    links: bool = True

    def run(self) -> ImportResult:
        """Import the archive.

        Raises:
            ModelCacheError: the archive is wrong, the volume fails, or the lease is held or lost.
        """
        with self._volume_errors():
            return self._run()

    @contextmanager
    def _volume_errors(self) -> Iterator[None]:
        """Turn a failed system call into an error that names the volume."""
        try:
            yield
        except OSError as error:
            raise volume.volume_error(error, self.places.own.path, on_host=self._on_host) from error

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    def _run(self) -> ImportResult:
        contents = self._read_contents()
        self.on_contents(contents)
        self._preflight(contents)
        status = self.status(contents.manifest.generation)
        # Errors are translated inside the status, too, so that it names the reason.
        with self.lease.held(), status.maintain(), self._volume_errors():
            self._preflight(contents)  # again: others may have written while the lease was waited for
            status.enter_phase(Phase.IMPORTING)
            placer = FilePlacer(self.places, contents, links=self.links)
            files = list(contents.files())
            self.counter.expect(contents.bytes, len(files) + len(contents.form_files()))
            with ExitStack() as staged:
                with self.show_progress(self.counter) if self.show_progress is not None else nullcontext():
                    self._place_files(files, placer)
                    publish_forms = [
                        stage_form(form, self.places, staged, self._open_member, REMEDY)
                        for form in contents.forms
                    ]
                self._require_end()
                status.enter_phase(Phase.PUBLISHING)
                report = self._publish(contents, placer)
                for publish in publish_forms:
                    self.lease.check()
                    publish()
        return ImportResult(contents, placer.bytes_written, placer.files_written, report)

    def _read_contents(self) -> ArchiveContents:
        """Read the two documents with which every archive begins."""
        self._require_member(self.reader.next(), DESCRIPTION)
        description = self.reader.read_all(MAX_METADATA_BYTES)
        member = self.reader.next()
        if member is None or not member[0].startswith(manifest_name("").removesuffix(".json")):
            raise ArchiveInvalid(f"no manifest follows its {DESCRIPTION}", REMEDY)
        contents = parse_contents(description, self.reader.read_all(MAX_METADATA_BYTES), self.lock)
        self._require_member(member, manifest_name(contents.manifest.generation))
        return contents

    def _preflight(self, contents: ArchiveContents) -> None:
        verdict = preflight(
            self._space_needed(contents),
            self.places,
            probe=self.probe,
            free_space=self.free_space,
            files=[(file.place, file.path) for file in contents.files()],
        )
        if verdict.error is not None:
            raise verdict.error

    def _space_needed(self, contents: ArchiveContents) -> list[SpaceNeeded]:
        missing = [file for file in contents.files() if self._size_of(file) != file.bytes]
        needed = []
        for place in (PlaceName.HUB, PlaceName.SPACY):
            files = [file for file in missing if file.place is place]
            folders = {parent for file in files for parent in PurePosixPath(file.path).parents}
            inodes = 2 if place is PlaceName.HUB else 1  # of a file: a blob and its link
            size = sum(file.bytes for file in files)
            needed.append(SpaceNeeded(place, size, inodes * len(files) + len(folders)))
        return [*needed, space_for(contents.forms, self.places)]

    def _size_of(self, file: FileRecord) -> int | None:
        try:
            return (self.places.of(file.place).path / file.path).stat().st_size
        except OSError:
            return None

    def _place_files(self, files: Sequence[FileRecord], placer: "FilePlacer") -> None:
        for file in files:
            chunks = self._open_member(file)
            with self.counter.track_file(file.path):
                placer.place(file, chunks)

    def _open_member(self, file: FileRecord) -> Iterator[bytes]:
        self.lease.check()
        self._require_member(self.reader.next(), member_name(file), file.bytes)
        return self._counted_chunks()

    def _counted_chunks(self) -> Iterator[bytes]:
        for chunk in self.reader.chunks():
            self.counter.add(len(chunk))
            yield chunk

    def _require_member(self, member: tuple[str, int] | None, name: str, size: int | None = None) -> None:
        """Raise `ArchiveInvalid` unless the member has that name and, if given, that size in bytes."""
        if member is None:
            raise ArchiveInvalid(f"it ends where {name} should follow", REMEDY)
        if member[0] != name:
            unsafe = unsafe_reason(member[0])
            detail = f", which {unsafe}" if unsafe else ""
            raise ArchiveInvalid(f"it holds {member[0][:300]!r}{detail}, where {name} should be", REMEDY)
        if size is not None and member[1] != size:
            raise ArchiveInvalid(f"{name} has {member[1]} bytes in it, where {size} should be", REMEDY)

    def _require_end(self) -> None:
        member = self.reader.next()
        if member is not None:
            raise ArchiveInvalid(f"it holds {member[0][:300]!r}, which its manifest does not list", REMEDY)

    def _publish(self, contents: ArchiveContents, placer: "FilePlacer") -> CheckReport:
        """Read all files once more from the disk, then publish the manifest, then move the names."""
        models = {model.key: model for model in contents.models}
        for record in contents.manifest.models:
            written = [file for file in record.files if (file.place, file.path) in placer.written]
            write_record(make_record(models[record.key], record.files, written, self.places), self.places)
        report = check(contents.models, self.places, Tier.DEEP, whole_catalog=False, lock=self.lock)
        if report.reason is not Reason.OK:
            problem = next(problem for model in report.models for problem in model.problems)
            raise ModelCacheError(
                f"{problem.file}: {problem.detail}, though it was just written",
                "check the disk below the volume, then import again",
                reason=problem.reason,
            )
        for model in contents.models:
            if isinstance(model.source, HuggingFaceSource):
                update_tree_list(self.places, snapshot_folder(model.source), blob_names=contents.blobs)
        self.lease.check()
        write_manifest(contents.models, contents.manifest.models, self.places)
        for model in contents.models:
            self.artifact(model).update_refs()
        if self.record_reference is not None:
            self.record_reference(contents.manifest.generation, contents.models)
        return report


class FilePlacer:
    """Puts the files of one archive into the layout of a cache, and counts what it writes.

    A hub file becomes a blob and a link to it, as the hub client writes them; a file of a package goes into the tree
    of the package.

    Attributes:
        bytes_written, files_written: size and number of the files that were not in the cache before.
        written: their places and paths.
    """

    def __init__(self, places: Places, contents: ArchiveContents, *, links: bool = True) -> None:
        self._places, self._contents, self._links = places, contents, links
        self.bytes_written = self.files_written = 0
        self.written: set[tuple[PlaceName, str]] = set()

    def place(self, file: FileRecord, chunks: Iterable[bytes]) -> None:
        """Put one file into its place.

        Args:
            file: its entry in the manifest.
            chunks: its content in the archive; read to its end in any case.

        Raises:
            ArchiveInvalid: the content is not that of the manifest.
            VolumeUnsuitable: the path leads out of the cache.
            OSError: the file cannot be written.
        """
        target = self._places.of(file.place).path / file.path
        blob = self._blob_path(file)
        needs_git_sha1 = self._contents.git_sha1(file) or file.path in self._contents.git_sha1s
        content = ContentHash(file.bytes if needs_git_sha1 else None)
        is_there = self._has_content(target, file)
        if is_there or (blob is not None and self._has_content(blob, file)):
            for chunk in chunks:
                content.update(chunk)
            self._verify(content, file)
            if not is_there and blob is not None:  # another commit has the same blob
                self._link(target, blob)
            return
        if blob is None:
            self._write_package_file(file, target, content, chunks)
        else:
            self._write_hub_file(file, target, blob, content, chunks)
        self.bytes_written += file.bytes
        self.files_written += 1
        self.written.add((file.place, file.path))

    def _blob_path(self, file: FileRecord) -> Path | None:
        if file.place is not PlaceName.HUB:
            return None
        repository = file.path.partition("/")[0]
        return self._places.hub.path / repository / "blobs" / self._contents.blobs[file.path]

    def _has_content(self, target: Path, file: FileRecord) -> bool:
        """Return whether a file with the right content is there; a link that leads out of the cache is not."""
        try:
            real = target.resolve(strict=True)
            is_outside = self._places.boundary_of(target).escape_of(target) is not None
            if is_outside or not real.is_file() or real.stat().st_size != file.bytes:
                return False
            with open_regular_file(real) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        except (OSError, RuntimeError):  # RuntimeError: a loop of links
            return False

    def _write_package_file(
        self, file: FileRecord, target: Path, content: ContentHash, chunks: Iterable[bytes]
    ) -> None:
        folder = self._places.spacy.path / PACKAGES / ".staging"
        with self._staged(target, folder / file.sha256, content, chunks):
            self._verify(content, file)
            self._prepare_target(target, self._places.spacy.path)

    def _write_hub_file(
        self, file: FileRecord, target: Path, blob: Path, content: ContentHash, chunks: Iterable[bytes]
    ) -> None:
        with self._staged(blob, blob, content, chunks):
            self._verify(content, file)
        if not self._link(target, blob):
            blob.unlink()  # without links each name is a file of its own, as the hub client does it

    @contextmanager
    def _staged(
        self, path: Path, base: Path, content: ContentHash, chunks: Iterable[bytes]
    ) -> Iterator[None]:
        """Write chunks to a staging file, which takes the name `path` after the block, unless the block raises.

        Its own name is `base` with a random ending, so that no two imports share one.
        """
        atomic.make_folders(base.parent, self._places.boundary_of(base))
        self._remove_abandoned(base)
        mark = f"{_STAGING_MARK}{os.urandom(6).hex()}"
        staging = base.with_name(staging_name(base.name + mark, self._places))
        prepare = partial(atomic.apply_cache_mode, folder=staging.parent)
        with replacement(path, temporary=staging, mode=0o644, prepare=prepare) as out:
            try_lock(out.fileno())  # until it is closed: other imports see that this one is alive
            for chunk in chunks:
                content.update(chunk)
                out.write(chunk)
            yield

    def _remove_abandoned(self, base: Path) -> None:  # of killed imports of the same content
        ending = staging_name("", self._places)
        for path in base.parent.glob(f"{base.name}{_STAGING_MARK}*"):
            with suppress(OSError):
                if path.name.endswith(ending) and is_abandoned(path):
                    path.unlink()

    def _link(self, target: Path, blob: Path) -> bool:
        """Link a name to its blob, or copy the blob where there are no links. Returns whether it is a link."""
        self._prepare_target(target, self._places.hub.path)
        boundary = self._places.boundary_of(target)
        if self._links and atomic.replace_link(target, blob, boundary):
            return True
        atomic.copy_file(blob, target, boundary)
        return False

    def _prepare_target(self, target: Path, place: Path) -> None:
        """Make the folders of a target, and refuse one that leads out of the cache."""
        boundary = self._places.boundary_of(target)
        atomic.remove_obstruction(target, place, boundary)
        atomic.make_folders(target.parent, boundary)

    def _verify(self, content: ContentHash, file: FileRecord) -> None:
        """Raise `ArchiveInvalid` if a content is not that of the archive's documents."""
        git_sha1 = self._contents.git_sha1(file)
        if content.sha256() != file.sha256:
            wrong = f"the sha256 {content.sha256()}, where its manifest has {file.sha256}"
        elif file.place is PlaceName.HUB and git_sha1 and content.git_sha1() != git_sha1:
            wrong = f"the git sha1 {content.git_sha1()}, where its {DESCRIPTION} has {git_sha1}"
        elif (locked := self._contents.git_sha1s.get(file.path)) not in (None, content.git_sha1()):
            wrong = f"the git sha1 {content.git_sha1()}, where the lock has {locked}"
        else:
            return
        raise ArchiveInvalid(f"{file.path} has {wrong}", REMEDY)
