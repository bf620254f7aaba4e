"""Compare a cache with what a catalog needs. It only reads, and is safe while a warmer writes.

The manifest of the catalog's generation lists the files that must exist. Without a manifest, the records of single
models still show which of them are complete. Problems of the cache are reported, never raised.

`check` is called by `cache-check`, by the warmer before and after it fetches, and by the worker's watch of its cache.
"""

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from model_cache.catalog.catalog import Model, model_digest
from model_cache.catalog.catalog import generation as generation_of
from model_cache.catalog.lock import Lock
from model_cache.check.files import CheckedFile, Remedies, inspect, problem_from_error
from model_cache.check.types import (
    CheckReport,
    FileTotals,
    ModelReport,
    Problem,
    ProgressCallback,
    Tier,
    worst_reason,
)
from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.layout import manifest_path, model_path, model_record_path
from model_cache.manifest import (
    FileRecord,
    Manifest,
    ModelRecord,
    parse_manifest,
    parse_model_record,
)
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason
from model_cache.record_rules import locked_git_sha1s, manifest_mismatch, record_mismatch

__all__ = ["CheckReport", "ModelReport", "Problem", "Remedies", "Tier", "check"]

_Record = TypeVar("_Record", Manifest, ModelRecord)


def check(
    models: Sequence[Model],
    places: Places,
    tier: Tier = Tier.FAST,
    *,
    whole_catalog: bool = True,
    generation: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: ProgressCallback | None = None,
    remedies: Remedies | None = None,
    lock: Lock | None = None,
) -> CheckReport:
    """Check the files of some models, or of a whole catalog.

    Args:
        models: the models to check.
        places: the places of the cache.
        tier: `FAST` or `DEEP`.
        whole_catalog: whether the models are a whole catalog, whose manifest must exist; if not, the records of
            the single models are used.
        generation: the generation of the whole catalog, for the report; None: that of `models`.
        clock: returns seconds.
        progress: called during `DEEP` with bytes read and bytes in all.
        remedies: the commands that remedies name.
        lock: of the catalog; what it knows of the models is compared with the records.
    """
    start = clock()
    checker = _Checker(places, remedies or Remedies(), lock)
    generation = generation or generation_of(models)
    listed, problems = checker.manifest(models, generation) if whole_catalog else ({}, [])
    results = [checker.model(model, listed.get(model.key)) for model in models]
    if tier is Tier.DEEP:
        from model_cache.check.deep import verify_hashes  # here: the fast tier does not need it

        files = [file for result in results for file in result.intact]
        git_sha1s = {path: sha1 for model in models for path, sha1 in locked_git_sha1s(model, lock).items()}
        corrupt = verify_hashes(files, checker.remedies, progress, git_sha1s=git_sha1s)
        results = [result.without(corrupt) for result in results]
    reports = tuple(result.report(places) for result in results)
    # By path, because two models may share a file.
    sizes = {
        (file.record.place, file.record.path): file.record.bytes
        for result in results
        for file in result.intact
    }
    reasons = [*(report.reason for report in reports), *(problem.reason for problem in problems)]
    return CheckReport(
        reason=worst_reason(reasons),
        generation=generation,
        cache=places.label,
        tier=tier,
        bytes=sum(sizes.values()),
        files=len(sizes),
        seconds=clock() - start,
        models=reports,
        problems=tuple(problems),
        places=places,
        totals=_totals(sizes),
    )


def _totals(sizes: Mapping[tuple[PlaceName, str], int]) -> dict[PlaceName, FileTotals]:
    totals = {name: FileTotals() for name in PlaceName}
    for (name, _), size in sizes.items():
        totals[name] = FileTotals(totals[name].bytes + size, totals[name].files + 1)
    return totals


class _ModelResult(NamedTuple):
    """The intact files and the problems of one model."""

    model: Model
    intact: list[CheckedFile]
    problems: list[Problem]

    def without(self, corrupt: Mapping[CheckedFile, Problem]) -> "_ModelResult":
        """Return the result after a deep check that found some of its files corrupt."""
        intact = [file for file in self.intact if file not in corrupt]
        problems = [corrupt[file] for file in self.intact if file in corrupt]
        return _ModelResult(self.model, intact, [*self.problems, *problems])

    def report(self, places: Places) -> ModelReport:
        return ModelReport(
            key=self.model.key,
            task=self.model.task,
            source=self.model.source_name,
            revision=self.model.revision,
            reason=worst_reason(problem.reason for problem in self.problems),
            bytes=sum({file.record.path: file.record.bytes for file in self.intact}.values()),
            files=len(self.intact),
            path=str(model_path(places, self.model)),
            problems=tuple(self.problems),
        )


class _Checker(NamedTuple):
    """Reads manifests and records, and checks the files that they list."""

    places: Places
    remedies: Remedies
    lock: Lock | None

    def manifest(
        self, models: Sequence[Model], generation: str
    ) -> tuple[dict[str, tuple[FileRecord, ...]], list[Problem]]:
        """Return the listed files of each model by key, or the problem of the manifest."""
        path = manifest_path(self.places, generation)
        manifest = self._read(path, parse_manifest)
        if isinstance(manifest, Problem):
            return {}, [self._manifest_problem(path, manifest)]
        if mismatch := manifest_mismatch(manifest, models, self.lock):
            return {}, [self._corrupt(path, mismatch)]
        return {record.key: record.files for record in manifest.models}, []

    def model(self, model: Model, files: tuple[FileRecord, ...] | None) -> _ModelResult:
        """Check the files of one model; if `files` is None, those that its own record lists."""
        if files is None:
            path = model_record_path(self.places, model_digest(model))
            record = self._read(path, parse_model_record)
            if isinstance(record, Problem):
                return _ModelResult(model, [], [self._record_problem(model, record)])
            if mismatch := record_mismatch(record, model, self.lock):
                return _ModelResult(model, [], [self._corrupt(path, mismatch)])
            files = record.files
        intact, problems = inspect(files, self.places, self.remedies)
        return _ModelResult(model, intact, problems)

    def _read(self, path: Path, parse: Callable[[bytes], _Record]) -> _Record | Problem:
        try:
            return parse(read_small_file(path))
        except ManifestInvalid as error:
            return self._corrupt(path, f"cannot be trusted: {error.message}")
        except OSError as error:
            if isinstance(error, NotADirectoryError):
                return self._missing(path, "is missing")
            if isinstance(error, IsADirectoryError):
                return self._corrupt(path, "is a folder where a file should be")
            if error.errno in (errno.EINVAL, errno.EFBIG):  # of read_small_file
                return self._corrupt(path, f"cannot be trusted: {error.strerror}")
            return problem_from_error(str(path), error, self.remedies)

    def _manifest_problem(self, path: Path, problem: Problem) -> Problem:
        """Return why the manifest cannot be read: perhaps the cache itself does not exist."""
        if problem.reason is Reason.NO_PERMISSION:
            return problem
        root = _root(self.places)
        if root is None or os.path.isdir(root):
            if problem.reason is Reason.CACHE_CORRUPT:
                return problem
            detail = "the manifest of this catalog is missing: it was never completely fetched"
            return self._missing(path, detail)
        if not os.path.lexists(root):
            return self._missing(root, "there is no cache: the folder does not exist")
        kind = "a link that leads to no folder" if os.path.islink(root) else "a file, not a folder"
        remedy = f"give a folder with --cache, then run `{self.remedies.warm}`"
        return Problem(str(root), Reason.CACHE_INCOMPLETE, f"there is no cache: this is {kind}", remedy)

    def _record_problem(self, model: Model, problem: Problem) -> Problem:
        root = _root(self.places)
        cache_exists = root is None or os.path.isdir(root)
        is_corrupt = cache_exists and problem.reason is Reason.CACHE_CORRUPT
        if problem.reason is Reason.NO_PERMISSION or is_corrupt:
            return problem
        return self._missing(model_path(self.places, model), "the model was not fetched yet")

    def _missing(self, path: Path, detail: str) -> Problem:
        return Problem(str(path), Reason.CACHE_INCOMPLETE, detail, self.remedies.for_missing())

    def _corrupt(self, path: Path, detail: str) -> Problem:
        return Problem(str(path), Reason.CACHE_CORRUPT, detail, self.remedies.for_corrupt())


def _root(places: Places) -> Path | None:
    """Return the folder that holds all places; None where each has its own."""
    root = places.own.path.parent
    return root if places.own.chosen_by == "--cache" else None
