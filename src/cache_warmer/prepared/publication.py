"""Verify a prepared form in a folder, and publish it in a cache.

Runs in the main thread of `cache-warmer publish`. Nothing in the folder is trusted:

1. The record must be of this version, its accuracy gate passed by every variant, and its source the model of the
   catalog as the cache holds it: each file that it was made from has the hash that the model's record has.
2. The folder holds exactly the files of the record. Links, other files and other folders are refused.
3. Under the lease the files are copied to a staging folder. What is written is what was hashed.

A form that the cache has already, with every hash right, is not written again; if another one was published after it,
it is made the newest again. So the command may be repeated at any time, also after it was killed.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from cache_warmer.disk.preflight import preflight
from cache_warmer.disk.probe import Probe
from cache_warmer.disk.volume import MeasureFreeSpace, explain_os_errors, measure_free_space
from cache_warmer.errors import FormRefused, GateFailed, NoPermission
from cache_warmer.lease.base import Lease
from cache_warmer.prepared.writer import FormWriter, form_refused, space_needed
from model_cache.catalog.catalog import Catalog
from model_cache.catalog.lock import Lock
from model_cache.errors import ModelCacheError, UsageError
from model_cache.file_io import open_regular_file
from model_cache.formatting import printable
from model_cache.places import Places
from model_cache.prepared_form import (
    RECORD_NAME,
    FormFile,
    FormInvalid,
    PreparedForm,
    gate_failure,
    source_mismatch,
)
from model_cache.prepared_store import read_form, read_source_hashes
from model_cache.reasons import Reason

_CHUNK_BYTES: Final = 1 << 20


class Outcome(StrEnum):
    """What was done with a form."""

    # It was copied into the cache.
    PUBLISHED = "published"
    # The cache had it, and no newer one.
    UNCHANGED = "unchanged"
    # The cache had it, and another one that was published later: now it counts again.
    RENEWED = "renewed"


@dataclass(frozen=True, slots=True)
class PublishedForm:
    """The result for one form. The fields are those of its JSON object.

    Attributes:
        model, precision, variants: of the form.
        digest: the sha256 of its record.
        path: its folder in the cache.
        outcome: what was done.
        files, bytes: number and size of its files.
        asked: whether the catalog asks for this precision of this model.
    """

    model: str
    precision: str
    variants: tuple[str, ...]
    digest: str
    path: str
    outcome: Outcome
    files: int
    bytes: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes forms.

    Attributes:
        catalog: the catalog, whose models the forms must be of.
        lock: of the catalog.
        places: of the cache.
        lease: held while anything is written.
        probe, free_space: test a folder and measure its free space, for the preflight.
    """

    catalog: Catalog
    lock: Lock | None
    places: Places
    lease: Lease
    probe: Probe
    free_space: MeasureFreeSpace = field(default=measure_free_space)

    def run(self, folders: Sequence[Path]) -> tuple[PublishedForm, ...]:
        """Publish the forms in some folders. All are verified before the first is written, except for their hashes.

        Raises:
            ModelCacheError: one of them is refused, the volume fails, or the lease is held or lost.
        """
        sources = [self._verify(folder) for folder in folders]
        with explain_os_errors(self.places):
            self._preflight(sources)
            with self.lease.held(), explain_os_errors(self.places):
                return tuple(self._publish(source) for source in sources)

    def _verify(self, folder: Path) -> "_FormSource":
        try:
            form, record = read_form(folder)
        except FormInvalid as error:
            raise FormRefused(error.message, error.remedy) from error
        source = _FormSource(folder, form, FormWriter(self.places, form, record))
        if failure := gate_failure(form):
            raise GateFailed(
                f"{folder}: the form of {form.model} in {form.precision} did not pass its accuracy gate: {failure}",
                f"let the catalog ask for another precision of {form.model}, or make the form with another recipe",
            )
        self._require_source(source)
        _require_exact_files(source)
        return source

    def _require_source(self, source: "_FormSource") -> None:
        """Raise unless a form is of a model of the catalog, and made from the files that the cache has of it."""
        form, folder = source.form, source.folder
        try:
            model = self.catalog.model(form.model)
        except UsageError as error:
            raise FormRefused(f"{folder} is a form of {form.model}: {error.message}", error.remedy) from error
        if (form.source.name, form.source.revision) != (model.source_name, model.revision):
            raise form_refused(
                f"{folder} was made from {form.source.name} {form.source.revision}, where the catalog has "
                f"{model.source_name} {model.revision}"
            )
        if form.task is not model.task:
            raise form_refused(f"{folder} was made for {form.task}, where the catalog has {model.task}")
        hashes = read_source_hashes(model, self.places, self.lock)
        if hashes is None:
            raise ModelCacheError(
                f"the cache has no complete {form.model}, so the source of {folder} cannot be compared",
                f"run `cache-warmer warm --model {form.model}` first",
                reason=Reason.CACHE_INCOMPLETE,
            )
        if mismatch := source_mismatch(form, hashes):
            raise form_refused(f"{folder} {mismatch}")

    def _preflight(self, sources: Sequence["_FormSource"]) -> None:
        missing = [source for source in sources if not source.writer.folder.is_dir()]
        need = space_needed(source.writer for source in sources)
        folders = {source.writer.folder.parent for source in missing}
        verdict = preflight(
            [need], self.places, probe=self.probe, free_space=self.free_space, folders=folders
        )
        if verdict.error is not None:
            raise verdict.error

    def _publish(self, source: "_FormSource") -> PublishedForm:
        writer = source.writer
        if writer.is_intact():
            self.lease.check()
            outcome = Outcome.UNCHANGED if writer.counts() else Outcome.RENEWED
            if outcome is Outcome.RENEWED:
                writer.renew()
        else:
            with writer.staged() as staging:
                for file in source.form.files:
                    writer.write(staging, file, _chunks(source.folder / file.path))
                self.lease.check()
                writer.publish(staging)
            outcome = Outcome.PUBLISHED
        return source.result(outcome, self.catalog)


@dataclass(frozen=True, slots=True)
class _FormSource:
    """A form in a folder, and what writes it into the cache."""

    folder: Path
    form: PreparedForm
    writer: FormWriter

    def result(self, outcome: Outcome, catalog: Catalog) -> PublishedForm:
        form = self.form
        return PublishedForm(
            model=form.model,
            precision=str(form.precision),
            variants=form.variants,
            digest=self.writer.digest,
            path=str(self.writer.folder),
            outcome=outcome,
            files=len(form.files),
            bytes=form.bytes,
            asked=catalog.model(form.model).serving.precision is form.precision,
        )


def find_forms(folder: Path) -> list[Path]:
    """Return the folders directly in a folder that hold a form, sorted.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        return sorted(path for path in folder.iterdir() if os.path.lexists(path / RECORD_NAME))
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be listed: {error.strerror}", "give the folder that holds the forms"
        ) from error


def _require_exact_files(source: _FormSource) -> None:
    """Raise unless a folder holds exactly the files of its record, as regular files of the right size."""
    listed = {file.path: file for file in source.form.files}
    folders = {path[:at] for path in listed for at, character in enumerate(path) if character == "/"}
    found = set()
    for path, status in _entries(source.folder, ""):
        name = printable(f"{source.folder / path}")
        if stat.S_ISDIR(status.st_mode):
            if path not in folders:
                raise form_refused(f"{name} is a folder without a file of its record")
        elif not stat.S_ISREG(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "no regular file"
            raise form_refused(f"{name} is {kind}, where only regular files are allowed")
        elif path in listed:
            _require_size(name, status.st_size, listed[path])
            found.add(path)
        elif path != RECORD_NAME:
            raise form_refused(f"{name} is not in its record")
    if missing := sorted(listed.keys() - found):
        raise form_refused(f"{source.folder / missing[0]} is missing")


def _require_size(name: str, size: int, file: FormFile) -> None:
    if size != file.size:
        raise form_refused(f"{name} has {size} bytes, where its record has {file.size}")


def _entries(root: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the relative path and the status of everything below a folder; links are not followed."""
    try:
        with os.scandir(root / below) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                yield path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    yield from _entries(root, f"{path}/")
    except OSError as error:
        raise _unreadable(root / below, error) from error


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open_regular_file(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> NoPermission:
    return NoPermission(
        f"{path} cannot be read: {error.strerror}", "let this user read the folder of the form"
    )
