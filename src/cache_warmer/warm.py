"""Fills the cache: look, take the lease, look again, judge the volume, fetch, verify, record, publish last.

A crash at any instant leaves the former generation as it was: bodies grow under staging names, blobs and
trees appear by rename, and the manifest only when every model is there.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import Artifact
from cache_warmer.artifacts.sources import Sources
from cache_warmer.disk import volume
from cache_warmer.disk.preflight import Probe, preflight
from cache_warmer.disk.volume import FreeOf
from cache_warmer.fetch import fetch
from cache_warmer.lease.base import Lease
from cache_warmer.records import make_record, write_manifest, write_record, write_whole_bytes
from cache_warmer.reference import ReferenceWriter
from cache_warmer.reports.progress import Counter
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.reports.warm_report import RunStats
from cache_warmer.survey import ModelSurvey, incomplete, survey
from cache_warmer.transfer.hashing import hash_file
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Catalog, Model, generation
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.check.types import CheckReport, Progress, Tier, problems_of
from model_cache.errors import ModelCacheError
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import HOST, Places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WarmRun:
    """One run and the world it runs in.

    Attributes:
        catalog, lock: what is wanted.
        keys: only these models; empty: all.
        places, sources, lease: where to, where from, by which right.
        referring: who uses what is warmed.
        status: tells others how far the run is.
        stop: ends the run's threads.
        tally: what was done so far, for the report of a run that fails.
        counter, showing: the progress, and what shows it while bodies are fetched.
        probe, free_here: of the preflight.
        tier: how closely to look for what is to be fetched: `FAST` warms, `DEEP` repairs.
        reading: told how far a deep look is.
    """

    catalog: Catalog
    lock: Lock | None
    keys: tuple[str, ...]
    places: Places
    sources: Sources
    lease: Lease
    referring: ReferenceWriter
    status: StatusFile
    stop: Stop
    tally: RunStats
    probe: Probe
    free_here: FreeOf = volume.free_of
    counter: Counter = field(default_factory=Counter)
    showing: Callable[[Counter], AbstractContextManager[None]] | None = None
    tier: Tier = Tier.FAST
    reading: Progress | None = None

    def run(self) -> None:
        """Warm. Raises `ModelCacheError`; a run that ends early leaves what it fetched."""
        with self._told():
            self._run()

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

    @property
    def _models(self) -> tuple[Model, ...]:
        return self.catalog.select(self.keys) if self.keys else self.catalog.models

    def _run(self) -> None:
        name = generation(self.catalog.models)
        found = self._check(self.tier)
        if found.reason is Reason.OK and self.referring.is_recorded(name, self._models):
            self._finish(survey(self._models, {}, self.places, self.sources, self.lock, None))
            self.tally.mended = () if self._repairs else None
            return
        self._demand(preflight((), self.places, probe=self.probe, free_here=self.free_here).error)
        self.sources.open(model for model in self._models if model.key in incomplete(found))
        with self.lease.held(), self.status.kept(), self._told():
            # Others may have written while we waited. What was hashed stays suspect: it is hashed anew in its turn.
            unwell = incomplete(found, self._check()) if self._repairs else incomplete(self._check())
            surveyed = survey(self._models, unwell, self.places, self.sources, self.lock, self._hash_file)
            rooms = [one.room for one in surveyed]
            self._demand_access(surveyed)
            probe = self.probe if self._on_host else None  # the other's places were probed before
            self._demand(preflight(rooms, self.places, probe=probe, free_here=self.free_here).error)
            self._fetch(surveyed)
            self.status.enter(Phase.PUBLISHING)
            self._finish(surveyed)
            self.referring.record(name, self._models)
            if self._repairs:
                self._demand_whole([model for model in self._models if model.key in unwell])
                self.tally.mended = problems_of(found)

    @property
    def _repairs(self) -> bool:
        return self.tier is Tier.DEEP

    def _check(self, tier: Tier = Tier.FAST) -> CheckReport:
        return check(self._models, self.places, tier, whole_catalog=not self.keys, progress=self.reading)

    def _demand_whole(self, models: Sequence[Model]) -> None:
        """Read once more what was damaged: a disk that damaged it may have done so again."""
        report = check(models, self.places, Tier.DEEP, whole_catalog=False, progress=self.reading)
        self._demand(_failure(report, "just repaired"))

    def _demand(self, error: ModelCacheError | None) -> None:
        if error is not None:
            raise error

    def _demand_access(self, surveyed: Sequence[ModelSurvey]) -> None:
        """On a host, say of all folders at once which of them this user may not write to."""
        wanted = {folder for one in surveyed for folder in one.artifact.writes_to(one.missing)}
        if self._on_host and (blocked := volume.not_writable(wanted)):
            raise volume.not_permitted(*blocked)

    def _hash_file(self, path: Path, size: int) -> tuple[str, str]:
        _LOG.info("verifying %s, which is there already", path)
        return hash_file(path, size, lambda _: self.stop.check())

    def _fetch(self, surveyed: Sequence[ModelSurvey]) -> None:
        """Complete the models, each as soon as its last body is there."""
        for one in surveyed:
            self.counter.expect(sum(one.bodies.values()), len(one.bodies))
            if not one.missing:
                self._complete(one, ())
        if any(one.missing for one in surveyed):
            self.status.enter(Phase.FETCHING)
            shown = self.showing(self.counter) if self.showing is not None else nullcontext()
            with shown, closing(fetch(surveyed, self.sources, self.stop, self.counter, self.tally)) as models:
                for one, fetched in models:
                    self._complete(one, fetched)

    def _complete(self, one: ModelSurvey, fetched: Sequence[FileRecord]) -> None:
        """Write the record of a model of which everything is there."""
        if one.wanted is None or one.holding is None:
            return
        key = one.artifact.model.key
        files = [record for _, records in one.holding.present for record in records] + list(fetched)
        one.artifact.settle(one.wanted)
        self.lease.check()
        write_whole_bytes(one.artifact.model, one.whole_bytes, self.places)
        write_record(make_record(one.artifact.model, files), self.places)
        self.tally.verified(key, files, one.wanted.compared_with)
        _LOG.info(
            "%s: %d files verified, %d fetched, compared with the %s",
            key,
            len(files),
            len(one.missing),
            one.wanted.compared_with,
        )

    def _finish(self, surveyed: Sequence[ModelSurvey]) -> None:
        """Publish the generation if all of it is there, then let the moving names stand for it."""
        for one in surveyed:
            if one.record is not None:
                write_record(one.record, self.places)
                self.tally.verified(one.artifact.model.key, one.record.files, None)
        self._publish()
        for one in surveyed:
            self._point(one.artifact, one.record)

    def _point(self, artifact: Artifact, record: ModelRecord | None) -> None:
        try:
            if record is not None:  # else it was just settled
                artifact.relist(record.files)
            artifact.update_refs()
        except OSError as error:
            if not self._on_host or not volume.is_denied(error):
                raise
            # a cache that others keep and we read: its files serve, its names are its keepers' business
            refused = volume.of_os_error(error, self.places.own.path, on_host=True)
            _LOG.warning("%s: names for other projects are left as they are: %s", artifact.model.key, refused)

    def _publish(self) -> None:
        """Write the manifest, after one more look at everything it is about to promise."""
        models = self.catalog.models
        report = check(models, self.places, whole_catalog=False)
        if report.reason is not Reason.OK:
            if not self.keys:
                self._demand(_failure(report, "just verified"))
            _LOG.info("generation %s is not whole yet: no manifest written", generation(models)[:12])
            return
        self.lease.check()
        records = survey(models, {}, self.places, self.sources, self.lock, None)
        write_manifest(models, [_record_of(one) for one in records], self.places)


def _failure(report: CheckReport, done: str) -> ModelCacheError | None:
    """What is wrong in spite of what was done; None: nothing."""
    problem = next(iter(problems_of(report)), None)
    if problem is None:
        return None
    message = f"{problem.file}: {problem.detail}, though it was {done}"
    return ModelCacheError(message, problem.remedy, reason=problem.reason)


def _record_of(one: ModelSurvey) -> ModelRecord:
    assert one.record is not None  # the check found each model's record and files
    return one.record
