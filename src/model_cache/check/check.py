"""Compares a cache with what a catalog needs. Reads only, and is safe while a warmer writes.

The manifest of the catalog's generation says which files there must be; without it the records of single
models still say which of them are whole. Nothing that is wrong with the cache raises: all of it is reported.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from model_cache.catalog.catalog import Model, model_digest
from model_cache.catalog.catalog import generation as generation_of
from model_cache.check.files import Found, Remedies, inspect, problem_of
from model_cache.check.types import CheckReport, Content, ModelReport, Problem, Progress, Tier, worst
from model_cache.errors import ManifestInvalid
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

__all__ = ["CheckReport", "ModelReport", "Problem", "Remedies", "Tier", "check"]

_Parsed = TypeVar("_Parsed", Manifest, ModelRecord)


def check(
    models: Sequence[Model],
    places: Places,
    tier: Tier = Tier.FAST,
    *,
    whole_catalog: bool = True,
    generation: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress | None = None,
    remedies: Remedies | None = None,
) -> CheckReport:
    """Return what is there of these models.

    Args:
        models: those to look for.
        places: where the cache's parts are.
        tier: `FAST` or `DEEP`.
        whole_catalog: the models are a whole catalog, whose manifest must be there; False: they are some of
            one, and go by their own records.
        generation: of the whole catalog, for the report; None: that of `models`.
        clock: seconds.
        progress: called during `DEEP` with bytes read and bytes in all.
        remedies: the commands to name in remedies.
    """
    start = clock()
    look = _Look(places, remedies or Remedies())
    generation = generation or generation_of(models)
    listed, problems = look.manifest(models, generation) if whole_catalog else ({}, [])
    looks = [look.model(model, listed.get(model.key)) for model in models]
    if tier is Tier.DEEP:
        from model_cache.check.deep import hash_all  # here: the fast tier must not pay for it

        bad = hash_all([file for one in looks for file in one.found], look.remedies, progress)
        looks = [one.without(bad) for one in looks]
    reports = tuple(one.report(places) for one in looks)
    sizes = {(file.record.place, file.record.path): file.record.bytes for one in looks for file in one.found}
    return CheckReport(
        reason=worst([*(report.reason for report in reports), *(problem.reason for problem in problems)]),
        generation=generation,
        cache=places.label,
        tier=tier,
        bytes=sum(sizes.values()),
        files=len(sizes),
        seconds=clock() - start,
        models=reports,
        problems=tuple(problems),
        places=places,
        contents=_contents(sizes),
    )


def _contents(sizes: Mapping[tuple[PlaceName, str], int]) -> dict[PlaceName, Content]:
    found = {name: Content() for name in PlaceName}
    for (name, _), size in sizes.items():
        found[name] = Content(found[name].bytes + size, found[name].files + 1)
    return found


class _ModelLook(NamedTuple):
    model: Model
    found: list[Found]
    problems: list[Problem]

    def without(self, bad: dict[Found, Problem]) -> "_ModelLook":
        well = [file for file in self.found if file not in bad]
        return _ModelLook(
            self.model, well, [*self.problems, *(bad[file] for file in self.found if file in bad)]
        )

    def report(self, places: Places) -> ModelReport:
        return ModelReport(
            key=self.model.key,
            task=self.model.task,
            source=self.model.source_name,
            revision=self.model.revision,
            reason=worst(problem.reason for problem in self.problems),
            bytes=sum({file.record.path: file.record.bytes for file in self.found}.values()),
            files=len(self.found),
            path=str(model_path(places, self.model)),
            problems=tuple(self.problems),
        )


class _Look(NamedTuple):
    places: Places
    remedies: Remedies

    def manifest(
        self, models: Sequence[Model], generation: str
    ) -> tuple[dict[str, tuple[FileRecord, ...]], list[Problem]]:
        """Return the files of each model by key, or the problem with the manifest."""
        path = manifest_path(self.places, generation)
        manifest = self._read(path, parse_manifest)
        if isinstance(manifest, Problem):
            return {}, [self._nothing_published(path, manifest)]
        by_digest = {record.digest: record for record in manifest.models}
        wanted = {model_digest(model): model.key for model in models}
        if manifest.generation != generation or set(by_digest) != set(wanted):
            return {}, [self._not_trusted(path, "is the manifest of another generation")]
        return {key: by_digest[digest].files for digest, key in wanted.items()}, []

    def model(self, model: Model, files: tuple[FileRecord, ...] | None) -> _ModelLook:
        """Return what is there of one model; `files` None: its own record says which there must be."""
        if files is None:
            digest = model_digest(model)
            path = model_record_path(self.places, digest)
            record = self._read(path, parse_model_record)
            if isinstance(record, Problem):
                return _ModelLook(model, [], [self._no_record(model, record)])
            if record.digest != digest:
                return _ModelLook(model, [], [self._not_trusted(path, "is the record of another model")])
            files = record.files
        if not files:
            path = model_path(self.places, model)
            return _ModelLook(model, [], [self._not_trusted(path, "has a record without a file")])
        found, problems = inspect(files, self.places, self.remedies)
        return _ModelLook(model, found, problems)

    def _read(self, path: Path, parse: Callable[[bytes], _Parsed]) -> _Parsed | Problem:
        try:
            return parse(path.read_bytes())
        except ManifestInvalid as error:
            return self._not_trusted(path, f"cannot be trusted: {error.message}")
        except OSError as error:
            if isinstance(error, NotADirectoryError):
                return self._missing(path, "is missing")
            if isinstance(error, IsADirectoryError):
                return self._not_trusted(path, "is a folder where a file should be")
            return problem_of(str(path), error, self.remedies)

    def _nothing_published(self, path: Path, problem: Problem) -> Problem:
        """Return why there is no manifest to read: the cache itself may not be there."""
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

    def _no_record(self, model: Model, problem: Problem) -> Problem:
        root = _root(self.places)
        is_there = root is None or os.path.isdir(root)
        if problem.reason is Reason.NO_PERMISSION or (is_there and problem.reason is Reason.CACHE_CORRUPT):
            return problem
        return self._missing(model_path(self.places, model), "the model was not fetched yet")

    def _missing(self, path: Path, detail: str) -> Problem:
        return Problem(str(path), Reason.CACHE_INCOMPLETE, detail, self.remedies.fetch())

    def _not_trusted(self, path: Path, detail: str) -> Problem:
        return Problem(str(path), Reason.CACHE_CORRUPT, detail, self.remedies.mend())


def _root(places: Places) -> Path | None:
    """Return the folder that holds all places, or None where each has its own."""
    root = places.own.path.parent
    return root if places.own.chosen_by == "--cache" else None
