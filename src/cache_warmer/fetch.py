"""Fetch the missing files of all models concurrently, each body once, even if several models need it.

Two keys of one repository share blobs, and so do two of its commits. The unit of a download is therefore the body,
identified by its staging file; `Claim` is one model's use of it.

The threads of `transfer.pool` download, verify and move the bodies to their places. The generator runs in the caller's
thread and yields each model whose last body is there. The first failure stops all threads and is raised; staged bytes
stay for the next run.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import UnderLease, WriteRight
from cache_warmer.artifacts.sources import Sources
from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.reports.warm_report import RunStats
from cache_warmer.survey import ModelSurvey
from cache_warmer.transfer.download import Download, StagedBody
from cache_warmer.transfer.pool import Stop, run_jobs
from model_cache.catalog.catalog import HuggingFaceSource, SpacySource
from model_cache.manifest import FileRecord

# Number of connections for all bodies together: enough to use the bandwidth with small files. A hub limits requests a
# minute, not connections.
CONNECTIONS: Final = 8

# The records of a body's files in each model that claimed it, with the key of the model.
AcceptedFiles = tuple[tuple[str, tuple[FileRecord, ...]], ...]
# Claims with the same source and file names result in the same files.
_ClaimIdentity = tuple[HuggingFaceSource | SpacySource, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Claim:
    """One model's use of a body.

    Attributes:
        survey: the survey of the model.
        downloads: the model's files that have this body as their content.
    """

    survey: ModelSurvey
    downloads: tuple[Download, ...]

    @property
    def key(self) -> str:
        """The key of the model."""
        return self.survey.artifact.model.key


def claims_by_body(surveys: Sequence[ModelSurvey]) -> tuple[tuple[Claim, ...], ...]:
    """Return the claims on each body, in the order to fetch them: model by model, largest body first."""
    found: dict[Path, dict[int, list[Download]]] = {}
    for number, survey in enumerate(surveys):
        for download in sorted(survey.missing, key=lambda download: -(download.expected.bytes or 0)):
            found.setdefault(download.staging, {}).setdefault(number, []).append(download)
    return tuple(
        tuple(Claim(surveys[number], tuple(downloads)) for number, downloads in by_model.items())
        for by_model in found.values()
    )


def fetch_models(
    surveys: Sequence[ModelSurvey],
    sources: Sources,
    stop: Stop,
    check_lease: Callable[[], None],
    counter: ProgressCounter,
    stats: RunStats,
) -> Generator[tuple[ModelSurvey, tuple[FileRecord, ...]], None, None]:
    """Yield each model that lacked files, with the records of the files that were fetched, when it is complete.

    Closing the generator stops its threads.

    Args:
        surveys: models that lack files, and others, which are skipped.
        sources: Opens the connections.
        stop: stops the threads of the run.
        check_lease: raises `LeaseLost` if another process has the lease; called before anything is published.
        counter: counts bytes and files.
        stats: counts the bytes that each model received; a shared body counts for the first model that claims it.

    Raises:
        HubError: a body cannot be fetched, or is not what was expected.
        LeaseLost: another writer took over.
        Interrupted: the run was stopped.
        OSError: the volume cannot be written.
    """
    bodies_with_claims = claims_by_body(surveys)
    if not bodies_with_claims:
        return
    downloader = sources.downloader(stop)
    bodies = [
        downloader.body(
            claims[0].survey.artifact.locate(claims[0].downloads[0]),
            counter.add,
            counter.resume,
            partial(stats.received, claims[0].key),
            partial(counter.track_file, claims[0].downloads[0].label),
            partial(_accept, claims, UnderLease(stop, check_lease)),
        )
        for claims in bodies_with_claims
    ]
    models = {claim.key: claim.survey for claims in bodies_with_claims for claim in claims}
    bodies_left = Counter(claim.key for claims in bodies_with_claims for claim in claims)
    files: dict[str, list[FileRecord]] = {key: [] for key in models}
    try:
        with closing(run_jobs(bodies, CONNECTIONS, stop)) as results:
            for _, accepted in results:
                for key, records in accepted:
                    files[key] += records
                    bodies_left[key] -= 1
                    if not bodies_left[key]:
                        yield models[key], tuple(files.pop(key))
    finally:
        for body in bodies:
            body.close()


def _accept(claims: Sequence[Claim], right: WriteRight, staged: StagedBody) -> AcceptedFiles:
    """Move or unpack a verified body for each model that claims it, once for identical claims."""
    distinct: dict[_ClaimIdentity, Claim] = {}
    for claim in claims:
        distinct.setdefault(_identity(claim), claim)
    accepted: dict[_ClaimIdentity, tuple[FileRecord, ...]] = {}
    for number, (identity, claim) in enumerate(distinct.items(), 1):
        shared = number < len(distinct)  # the last one may move the staging file away
        accepted[identity] = claim.survey.artifact.install(claim.downloads, staged, right, shared=shared)
    return tuple((claim.key, accepted[_identity(claim)]) for claim in claims)


def _identity(claim: Claim) -> _ClaimIdentity:
    return claim.survey.artifact.model.source, tuple(download.name for download in claim.downloads)
