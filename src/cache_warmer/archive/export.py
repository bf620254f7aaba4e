"""Export one generation of a cache as a tar stream, and read its files for an image (`oci_image`).

The cache is only read, so no lease is needed. Everything is hashed while it is written, and the last chunk of each
file is written only after its hash was verified. If a file is wrong or cannot be read, the stream ends there:
without the end marker every reader rejects it as truncated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO

from cache_warmer.archive import tar
from cache_warmer.archive.format import (
    DESCRIPTION,
    ArchiveContents,
    dump_description,
    dump_manifest_member,
    make_contents,
    manifest_name,
    member_name,
)
from cache_warmer.archive.forms import forms_to_export
from cache_warmer.artifacts.hf_layout import BlobNames
from cache_warmer.errors import NoPermission
from cache_warmer.records import read_record
from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.transfer.hashing import ContentHash
from model_cache.catalog.catalog import Model, generation
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.check.files import Remedies, inspect
from model_cache.check.types import Problem
from model_cache.errors import ModelCacheError
from model_cache.file_io import open_regular_file, read_small_file
from model_cache.layout import manifest_path, recorded_file_path
from model_cache.manifest import FileRecord, ModelRecord, parse_manifest
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class Exporter:
    """One export.

    Attributes:
        models: the models to export.
        whole_catalog: whether `models` are a whole catalog; its manifest must then exist.
        places: where the parts of the cache are.
        remedies: the commands that error messages name.
        counter: counts the bytes that are written.
        lock: of the catalog; the records of the cache are compared with it.
    """

    models: Sequence[Model]
    whole_catalog: bool
    places: Places
    remedies: Remedies
    counter: ProgressCounter
    lock: Lock | None = None

    def contents(self) -> ArchiveContents:
        """Return what will be written.

        Raises:
            ModelCacheError: the cache is not complete.
        """
        report = check(
            self.models,
            self.places,
            whole_catalog=self.whole_catalog,
            remedies=self.remedies,
            lock=self.lock,
        )
        problems = [*report.problems, *(problem for model in report.models for problem in model.problems)]
        if report.reason is not Reason.OK:
            raise _error_of(next(problem for problem in problems if problem.reason is report.reason))
        records, names = self._records(), BlobNames(self.places.hub.path)
        blobs = {
            file.path: names.of(file)
            for record in records
            for file in record.files
            if file.place is PlaceName.HUB
        }
        return make_contents(
            self.models, records, blobs, forms_to_export(self.models, self.places, self.lock)
        )

    def write(self, contents: ArchiveContents, write: Callable[[bytes], object]) -> None:
        """Write the archive.

        Args:
            contents: the value that `contents` returned.
            write: takes the next bytes of the stream.

        Raises:
            ModelCacheError: a file cannot be read, or its content is wrong.
        """
        for name, content in (
            (DESCRIPTION, dump_description(contents)),
            (manifest_name(contents.manifest.generation), dump_manifest_member(contents)),
        ):
            write(tar.header(name, len(content)) + content + tar.padding(len(content)))
        self.expect(contents)
        for file in (*contents.files(), *contents.form_files()):
            write(tar.header(member_name(file), file.bytes))
            self.copy_content(file, contents.git_sha1(file), write)
            write(tar.padding(file.bytes))
        write(tar.END)

    def expect(self, contents: ArchiveContents) -> None:
        """Tell the counter how much will be written."""
        files = [*contents.files(), *contents.form_files()]
        self.counter.expect(contents.bytes, len(files))

    def copy_content(self, file: FileRecord, git_sha1: str, write: Callable[[bytes], object]) -> None:
        """Write the content of a file; its last chunk is written only after the whole content was verified.

        Args:
            file: its record.
            git_sha1: git's sha1 of the content; empty if the blob is not named by that.
            write: takes the next bytes.

        Raises:
            ModelCacheError: the file cannot be read, or its content is wrong.
        """
        with self.counter.track_file(file.path):
            self._copy_content(file, git_sha1, write)

    def _records(self) -> tuple[ModelRecord, ...]:
        if self.whole_catalog:
            path = manifest_path(self.places, generation(self.models))
            return parse_manifest(read_small_file(path)).models
        records = [read_record(model, self.places, self.lock) for model in self.models]
        return tuple(record for record in records if record is not None)  # the check found each of them

    def _copy_content(self, file: FileRecord, git_sha1: str, write: Callable[[bytes], object]) -> None:
        content = ContentHash(file.bytes if git_sha1 else None)
        held_back, size = b"", 0
        with self._open(file) as stream:
            while chunk := _read(stream, file.path):
                size += len(chunk)
                if size > file.bytes:
                    raise self._corrupt(file, f"has more than the {file.bytes} bytes that it should have")
                write(held_back)
                content.update(chunk)
                held_back = chunk
                self.counter.add(len(chunk))
        if size != file.bytes:
            raise self._corrupt(file, f"has {size} bytes where {file.bytes} should be")
        if content.sha256() != file.sha256:
            raise self._corrupt(file, f"has the sha256 {content.sha256()} where {file.sha256} should be")
        if git_sha1 and content.git_sha1() != git_sha1:
            raise self._corrupt(file, f"is linked to the blob {git_sha1}, which has another content")
        write(held_back)

    def _open(self, file: FileRecord) -> FileIO:
        found, problems = inspect([file], self.places, self.remedies)
        if problems:
            raise _error_of(problems[0])
        try:
            return open_regular_file(found[0].real_path)
        except OSError as error:
            raise _unreadable(found[0].path, error) from error

    def _corrupt(self, file: FileRecord, detail: str) -> ModelCacheError:
        path = recorded_file_path(self.places, file)
        return _error_of(Problem(path, Reason.CACHE_CORRUPT, detail, self.remedies.for_corrupt()))


def _read(stream: FileIO, path: str) -> bytes:
    try:
        return stream.read(tar.CHUNK)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> NoPermission:
    return NoPermission(
        f"{path} cannot be read: {error.strerror}", "run `cache-check --deep`, and check the disk"
    )


def _error_of(problem: Problem) -> ModelCacheError:
    return ModelCacheError(f"{problem.file}: {problem.detail}", problem.remedy, reason=problem.reason)
