"""Writes one generation as a tar stream, hashing what it writes: a wrong cache gives no right archive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cache_warmer.archive import tar
from cache_warmer.archive.format import (
    DESCRIPTION,
    Contents,
    dump_description,
    dump_manifest_member,
    make_contents,
    manifest_name,
    member_name,
)
from cache_warmer.artifacts.hf_layout import BlobNames
from cache_warmer.errors import NoPermission
from cache_warmer.records import read_record
from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.transfer.hashing import ContentHash
from model_cache.catalog.catalog import Model, generation
from model_cache.check.check import check
from model_cache.check.files import Remedies, inspect
from model_cache.check.types import Problem
from model_cache.errors import ModelCacheError
from model_cache.layout import manifest_path
from model_cache.manifest import FileRecord, ModelRecord, parse_manifest
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class Exporting:
    """One run.

    Attributes:
        models: of the generation.
        whole_catalog: whether they are a whole catalog, whose manifest must be there.
        places, remedies: of the cache; it is only read, so no lease is needed.
        counter: the progress.
    """

    models: Sequence[Model]
    whole_catalog: bool
    places: Places
    remedies: Remedies
    counter: ProgressCounter

    def contents(self) -> Contents:
        """Return what there is to write. Raises `ModelCacheError` if the cache is not complete."""
        report = check(self.models, self.places, whole_catalog=self.whole_catalog, remedies=self.remedies)
        problems = [*report.problems, *(problem for model in report.models for problem in model.problems)]
        if report.reason is not Reason.OK:
            raise _not_right(next(problem for problem in problems if problem.reason is report.reason))
        records, names = self._records(), BlobNames(self.places.hub.path)
        blobs = {
            file.path: names.of(file)
            for record in records
            for file in record.files
            if file.place is PlaceName.HUB
        }
        return make_contents(self.models, records, blobs)

    def write(self, contents: Contents, write: Callable[[bytes], object]) -> None:
        """Write the archive; without its end if a file cannot be read or is wrong. Raises `ModelCacheError`."""
        for name, content in (
            (DESCRIPTION, dump_description(contents)),
            (manifest_name(contents.manifest.generation), dump_manifest_member(contents)),
        ):
            write(tar.header(name, len(content)) + content + tar.padding(len(content)))
        files = list(contents.files())
        self.counter.expect(contents.bytes, len(files))
        for file in files:
            with self.counter.track_file(file.path):
                self._write_file(file, contents.blobs.get(file.path, ""), write)
        write(tar.END)

    def _records(self) -> tuple[ModelRecord, ...]:
        if self.whole_catalog:
            content = manifest_path(self.places, generation(self.models)).read_bytes()
            return parse_manifest(content).models
        records = [read_record(model, self.places) for model in self.models]
        return tuple(record for record in records if record is not None)  # the check found each

    def _write_file(self, file: FileRecord, blob: str, write: Callable[[bytes], object]) -> None:
        """Write one file. Its last chunk is held back until its hash is known to be right."""
        write(tar.header(member_name(file), file.bytes))
        content = ContentHash(file.bytes if len(blob) == 40 else None)
        held, size = b"", 0
        with self._open(file) as stream:
            while chunk := _read(stream, file.path):
                size += len(chunk)
                if size > file.bytes:
                    raise self._wrong(file, f"has more than the {file.bytes} bytes that it should have")
                write(held)
                content.update(chunk)
                held = chunk
                self.counter.add(len(chunk))
        if size != file.bytes:
            raise self._wrong(file, f"has {size} bytes where {file.bytes} should be")
        if content.sha256() != file.sha256:
            raise self._wrong(file, f"has the sha256 {content.sha256()} where {file.sha256} should be")
        if len(blob) == 40 and content.git_sha1() != blob:
            raise self._wrong(file, f"is linked to the blob {blob}, whose content it is not")
        write(held + tar.padding(size))

    def _open(self, file: FileRecord) -> BinaryIO:
        found, problems = inspect([file], self.places, self.remedies)
        if problems:
            raise _not_right(problems[0])
        try:
            return open(found[0].real_path, "rb", buffering=0)
        except OSError as error:
            raise _unreadable(found[0].path, error) from error

    def _wrong(self, file: FileRecord, detail: str) -> ModelCacheError:
        path = f"{self.places.of(file.place).path}/{file.path}"
        return _not_right(Problem(path, Reason.CACHE_CORRUPT, detail, self.remedies.mend()))


def _read(stream: BinaryIO, path: str) -> bytes:
    try:
        return stream.read(tar.CHUNK)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> NoPermission:
    return NoPermission(
        f"{path} cannot be read: {error.strerror}", "run `cache-check --deep`, and look at the disk"
    )


def _not_right(problem: Problem) -> ModelCacheError:
    return ModelCacheError(f"{problem.file}: {problem.detail}", problem.remedy, reason=problem.reason)
