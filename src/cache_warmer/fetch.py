"""Fetches what is missing of all models side by side, each body once, however many models have it.

Two keys of one repository share blobs, and so do two commits of it: a body is of a staging file, not of a model.
"""

from collections import Counter as Counts
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import Download, Staged
from cache_warmer.artifacts.sources import Sources
from cache_warmer.reports.progress import Counter
from cache_warmer.reports.warm_report import RunStats
from cache_warmer.survey import ModelSurvey
from cache_warmer.transfer.pool import Stop, run_jobs
from model_cache.catalog.catalog import HuggingFaceSource, SpacySource
from model_cache.manifest import FileRecord

# At once, of all bodies: enough to fill a line with small files; a hub limits requests a minute, not
# connections.
CONNECTIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """What one model wants of a body: its artifact, and the body's names in it."""

    one: ModelSurvey
    downloads: tuple[Download, ...]


_Identity = tuple[HuggingFaceSource | SpacySource, tuple[str, ...]]
# Key of each model that had a claim on a body, and the records of what it became there.
Accepted = tuple[tuple[str, tuple[FileRecord, ...]], ...]


def claims(surveyed: Sequence[ModelSurvey]) -> tuple[tuple[Claim, ...], ...]:
    """Return the claims on each body, in the order to fetch them: model by model, the biggest of a model first."""
    found: dict[Path, dict[int, list[Download]]] = {}
    for number, one in enumerate(surveyed):
        for download in sorted(one.missing, key=lambda download: -(download.expected.bytes or 0)):
            found.setdefault(download.staging, {}).setdefault(number, []).append(download)
    return tuple(
        tuple(Claim(surveyed[number], tuple(downloads)) for number, downloads in by_model.items())
        for by_model in found.values()
    )


def fetch(
    surveyed: Sequence[ModelSurvey], sources: Sources, stop: Stop, counter: Counter, tally: RunStats
) -> Generator[tuple[ModelSurvey, tuple[FileRecord, ...]], None, None]:
    """Yield each model of which something was missing, with the records of that, as soon as all of it is there.

    Raises `HubError`, `LeaseLost`, `Interrupted`, `OSError`. Whoever gives the iterator up stops its threads.
    """
    wanted = claims(surveyed)
    if not wanted:
        return
    transfer = sources.transfer(stop)
    bodies = [
        transfer.body(
            group[0].downloads[0],
            counter.add,
            counter.resume,
            partial(tally.received, group[0].one.artifact.model.key),
            partial(counter.working_at, group[0].downloads[0].label),
            partial(_accept, group),
        )
        for group in wanted
    ]
    models = {claim.one.artifact.model.key: claim.one for group in wanted for claim in group}
    left = Counts(claim.one.artifact.model.key for group in wanted for claim in group)
    files: dict[str, list[FileRecord]] = {key: [] for key in models}
    try:
        with closing(run_jobs(bodies, CONNECTIONS, stop)) as accepted:
            for _, records_by_key in accepted:
                for key, records in records_by_key:
                    files[key] += records
                    left[key] -= 1
                    if not left[key]:
                        yield models[key], tuple(files.pop(key))
    finally:
        for body in bodies:
            body.close()


def _accept(group: Sequence[Claim], staged: Staged) -> Accepted:
    """Let each model take the body; models of the same source and names have the same files."""
    different: dict[_Identity, Claim] = {}
    for claim in group:
        different.setdefault(_identity(claim), claim)
    taken: dict[_Identity, tuple[FileRecord, ...]] = {}
    for number, (same, claim) in enumerate(different.items(), 1):
        shared = number < len(different)
        taken[same] = claim.one.artifact.accept(claim.downloads, staged, shared=shared)
    return tuple((claim.one.artifact.model.key, taken[_identity(claim)]) for claim in group)


def _identity(claim: Claim) -> _Identity:
    return claim.one.artifact.model.source, tuple(download.name for download in claim.downloads)
