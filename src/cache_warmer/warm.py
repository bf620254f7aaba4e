"""Fill the cache with the models of a catalog: the run behind `cache-warmer warm` and `cache-warmer repair`.

`WarmRun.run` is the whole sequence: check, take the lease, check again, preflight, fetch, verify, record, publish.
The methods below it stand in the order in which it calls them.

Threads: the main thread runs the sequence. Downloads run on the pool of `transfer.pool` while the main thread waits
for models to complete; records and manifests are written by the main thread alone. The status file and the progress
display have one thread each (`reports`).

Failure: a run may end at any instant and leaves the former generation usable. A body grows under a staging name of this
run alone, and the next run continues it; blobs and package trees appear by rename after their hash was verified; a
model gets its record only when all its files are there; the manifest of the generation is written last. No thread
publishes anything after the lease was given back (`Stop.drained`).

A repair (`Tier.DEEP`) differs in three places: the first check hashes every file, damaged files found by it are hashed
again before they are reused, and what was replaced is hashed once more at the end.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import record_model
from cache_warmer.artifacts.sources import Sources
from cache_warmer.disk import volume
from cache_warmer.disk.preflight import preflight
from cache_warmer.disk.probe import write_probe
from cache_warmer.fetch import fetch_models
from cache_warmer.lease.base import Lease
from cache_warmer.records import read_records, write_manifest, write_record
from cache_warmer.reference import ReferenceWriter
from cache_warmer.reports.deep_check_file import DeepCheckFile
from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.reports.warm_report import RunStats
from cache_warmer.survey import (
    BadFiles,
    ModelSurvey,
    bad_files,
    survey_models,
    written_files,
    written_folders,
)
from cache_warmer.transfer.hashing import hash_file
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Catalog, Model, generation
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.check.types import CheckReport, ProgressCallback, Tier, all_problems
from model_cache.errors import ModelCacheError
from model_cache.manifest import FileRecord
from model_cache.places import HOST, Places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, read_status

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Selection:
    """The models to warm.

    Attributes:
        catalog: the whole catalog; it decides the generation.
        lock: sizes and hashes to compare with; None if the catalog has no lock.
        keys: only these models; empty for all models of the catalog.
    """

    catalog: Catalog
    lock: Lock | None
    keys: tuple[str, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        """The selected models, in catalog order."""
        return self.catalog.select(self.keys) if self.keys else self.catalog.models

    @property
    def is_whole_catalog(self) -> bool:
        """Whether no model was left out."""
        return not self.keys

    @property
    def generation(self) -> str:
        """The generation of the whole catalog."""
        return generation(self.catalog.models)


@dataclass(frozen=True, slots=True)
class Reports:
    """Where a run reports its progress and its results.

    Attributes:
        stats: results by model, for the final report.
        status: the status file on the volume.
        counter: bytes and files of the transfers.
        deep_check: the result of a deep check on the volume; None: not written.
        show_transfers: displays the counter while bodies are fetched; None: no display.
        show_check: displays the progress of a deep check; None: no display.
    """

    stats: RunStats
    status: StatusFile
    counter: ProgressCounter
    deep_check: DeepCheckFile | None = None
    show_transfers: Callable[[ProgressCounter], AbstractContextManager[None]] | None = None
    show_check: ProgressCallback | None = None


@dataclass(frozen=True, slots=True)
class WarmRun:
    """One run of `warm` (`Tier.FAST`) or `repair` (`Tier.DEEP`).

    Attributes:
        selection: which models.
        tier: how thorough the first check is.
        places: where the cache is.
        sources: the hub and the wheels.
        lease: the right to write to the cache.
        reference: records who needs the generation, so that `collect` keeps it.
        reports: where progress and results go.
        stop: stops the threads of the run.
    """

    selection: Selection
    tier: Tier
    places: Places
    sources: Sources
    lease: Lease
    reference: ReferenceWriter
    reports: Reports
    stop: Stop

    def run(self) -> None:
        """Warm or repair the cache.

        Raises:
            ModelCacheError: the run failed. What it fetched stays, and the next run continues from there.
        """
        models = self.selection.models
        with volume.explain_os_errors(self.places):
            found = self._check(self.tier)
            if (deep_check := self._deep_check_file()) is not None:
                deep_check.record_found(found)
            if found.reason is Reason.OK and self.reference.is_recorded(self.selection.generation, models):
                self._publish(self._survey({}))
                self._report_repair(found, {})
                self._record_success()
                return
            # Before the lease, which is a file on the volume, and before the first request.
            self._require_volume([])
            self.sources.open(model for model in models if model.key in bad_files(found))
            # The inner context comes first on an error: the status file then names the reason of the volume.
            with (
                self.lease.held(),
                self.stop.drained(),
                self.reports.status.maintain(),
                volume.explain_os_errors(self.places),
            ):
                bad = self._check_under_lease(found)
                surveys = self._survey(bad)
                self._require_volume(surveys)
                self._record_pending(surveys)
                self._fetch(surveys)
                self.reports.status.enter_phase(Phase.PUBLISHING)
                self._publish(surveys)
                self.reference.record(self.selection.generation, models)
                self._report_repair(found, bad)

    def _record_success(self) -> None:
        """Replace the status of an earlier run that failed or was about another generation."""
        former = read_status(self.places)
        if former is not None and (former.reason, former.generation) != (
            Reason.OK,
            self.selection.generation,
        ):
            self.reports.status.record_end(Reason.OK, "", former)

    def _check(self, tier: Tier) -> CheckReport:
        return check(
            self.selection.models,
            self.places,
            tier,
            whole_catalog=self.selection.is_whole_catalog,
            progress=self.reports.show_check,
            lock=self.selection.lock,
        )

    def _deep_check_file(self) -> DeepCheckFile | None:
        """Return the file for the result of this run; None if the run checks no hashes, or not the whole catalog."""
        is_whole = self.tier is Tier.DEEP and self.selection.is_whole_catalog
        return self.reports.deep_check if is_whole else None

    def _check_under_lease(self, found: CheckReport) -> BadFiles:
        """Check again, because another writer may have worked while this one waited for the lease.

        A repair keeps what its deep check found: this fast check sees sizes only, so it cannot clear a damaged file.
        Such a file is hashed again by the survey.
        """
        again = self._check(Tier.FAST)
        return bad_files(found, again) if self.tier is Tier.DEEP else bad_files(again)

    def _survey(self, bad: BadFiles) -> tuple[ModelSurvey, ...]:
        return survey_models(
            self.selection.models,
            bad,
            self.places,
            self.sources,
            self.selection.lock,
            self._hash_existing_file,
            published=self.selection.generation if self.selection.is_whole_catalog else "",
        )

    def _hash_existing_file(self, path: Path, size: int) -> tuple[str, str]:
        _LOG.info("verifying the existing file %s", path)
        return hash_file(path, size, lambda _: self.stop.check())

    def _require_volume(self, surveys: Sequence[ModelSurvey]) -> None:
        """Raise unless the volume can be written and has space for what these models lack."""
        on_host = self.places.label == HOST
        if on_host:  # name every folder that this user cannot write to at once, not only the first
            folders = {folder for one in surveys for folder in one.artifact.target_folders(one.missing)}
            if blocked := volume.unwritable_folders(folders):
                raise volume.permission_error(*blocked)
        # A cache of our own is probed in all its places already before the survey, so the second time needs no probe.
        # On a host the survey decides which places are written to.
        probe = write_probe if on_host or not surveys else None
        written = written_folders(surveys, self.places)
        verdict = preflight(
            [one.space_needed for one in surveys],
            self.places,
            probe=probe,
            folders=written,
            files=written_files(surveys),
        )
        if verdict.error is not None:
            raise verdict.error

    def _record_pending(self, surveys: Sequence[ModelSurvey]) -> None:
        """Note which models this run fetches, so that a `collect` before the next run leaves what it verified."""
        if any(one.missing for one in surveys):
            self.reference.record_pending(self.selection.generation, [one.artifact.model for one in surveys])

    def _fetch(self, surveys: Sequence[ModelSurvey]) -> None:
        """Fetch what is missing and record each model as soon as its last body is verified."""
        counter = self.reports.counter
        for one in surveys:
            counter.expect(sum(one.bodies.values()), len(one.bodies))
            if not one.missing:
                self._record(one, ())
        if any(one.missing for one in surveys):
            self.reports.status.enter_phase(Phase.FETCHING)
            show = self.reports.show_transfers
            fetched = fetch_models(
                surveys, self.sources, self.stop, self.lease.check, counter, self.reports.stats
            )
            with show(counter) if show is not None else nullcontext(), closing(fetched):
                for one, files in fetched:
                    self._record(one, files)

    def _record(self, one: ModelSurvey, fetched: Sequence[FileRecord]) -> None:
        """Write the record of a model whose files are all there; `fetched` are those of this run."""
        if (
            one.resolution is None or one.cache_state is None
        ):  # the check found it complete: it has its record
            return
        key = one.artifact.model.key
        files = record_model(
            one.artifact, one.resolution, one.cache_state, fetched, self.places, self.lease.check
        )
        self.reports.stats.verified(key, files, one.resolution.compared_with)
        _LOG.info(
            "%s: %d files verified, %d fetched, compared with the %s",
            key,
            len(files),
            len(one.missing),
            one.resolution.compared_with,
        )

    def _publish(self, surveys: Sequence[ModelSurvey]) -> None:
        """Write the manifest if the generation is complete, then update the mutable names."""
        for one in surveys:
            if one.record is not None:
                write_record(one.record, self.places)
                self.reports.stats.verified(one.artifact.model.key, one.record.files, None)
        self._write_manifest()
        for one in surveys:
            self._update_refs(one)

    def _write_manifest(self) -> None:
        """Write the manifest of the whole catalog, after one more check of all that it lists."""
        models = self.selection.catalog.models
        report = check(models, self.places, whole_catalog=False, lock=self.selection.lock)
        if report.reason is not Reason.OK:
            if self.selection.is_whole_catalog:
                _raise_first_problem(report, "just verified")
            _LOG.info(
                "generation %s is not complete yet: no manifest written", self.selection.generation[:12]
            )
            return
        self.lease.check()
        lock, generation = self.selection.lock, self.selection.generation
        records = read_records(self.selection.models, self.places, lock)
        if (
            not self.selection.is_whole_catalog
        ):  # this run did not judge the other models: what is published holds
            records = read_records(models, self.places, lock, published=generation) | records
        write_manifest(models, list(records.values()), self.places)

    def _update_refs(self, one: ModelSurvey) -> None:
        """Point `refs/main` and package links at this model, and restore its list of files."""
        try:
            if one.record is not None:  # else `_record` has just done it
                one.artifact.update_file_list(one.record.files)
            one.artifact.update_refs()
        except OSError as error:
            if self.places.label != HOST or not volume.is_denied(error):
                raise
            # A cache of another user that this one may only read: its files can be served, its refs stay.
            denied = volume.volume_error(error, self.places.own.path, on_host=True)
            _LOG.warning("%s: refs for other projects are not updated: %s", one.artifact.model.key, denied)

    def _report_repair(self, found: CheckReport, bad: BadFiles) -> None:
        """Hash the repaired models once more, because a failing disk may damage them again, and report what was bad."""
        if self.tier is not Tier.DEEP:
            return
        models = [model for model in self.selection.models if model.key in bad]
        if models:
            report = check(
                models,
                self.places,
                Tier.DEEP,
                whole_catalog=False,
                progress=self.reports.show_check,
                lock=self.selection.lock,
            )
            _raise_first_problem(report, "just repaired")
        if (deep_check := self._deep_check_file()) is not None:
            deep_check.record_mended(found)
        self.reports.stats.repaired(all_problems(found))


def _raise_first_problem(report: CheckReport, stage: str) -> None:
    """Raise the first problem of a report, if there is one."""
    problem = next(iter(all_problems(report)), None)
    if problem is not None:
        message = f"{problem.file}: {problem.detail}, though it was {stage}"
        raise ModelCacheError(message, problem.remedy, reason=problem.reason)
