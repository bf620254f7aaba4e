"""Looks at every model once: what is there, what is offered, what is to be fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cache_warmer.artifacts.artifact import Artifact, Download, HashFile, Holding, Room, Wanted
from cache_warmer.artifacts.sources import Sources
from cache_warmer.records import read_record, read_whole_bytes
from cache_warmer.transfer.staging import staged_bytes
from model_cache.catalog import Model
from model_cache.check_values import CheckReport
from model_cache.lock import Lock
from model_cache.manifest import ModelRecord
from model_cache.places import Places
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One model.

    Attributes:
        artifact: it, as stored.
        record: its verified files, if the check found all of them right.
        wanted, holding: what its source offers and what of it is there; None if it is complete.
        whole_bytes: of its whole repository; None: not known.
    """

    artifact: Artifact
    record: ModelRecord | None
    wanted: Wanted | None
    holding: Holding | None
    whole_bytes: int | None

    @property
    def missing(self) -> tuple[Download, ...]:
        """The bodies to fetch."""
        return self.holding.missing if self.holding is not None else ()

    @property
    def room(self) -> Room:
        """What they take."""
        return self.artifact.room(self.missing)

    @property
    def bytes_to_fetch(self) -> int:
        """Of the bodies to fetch, without what an earlier run staged; a body of unknown size counts nothing."""
        by_staging = {one.staging: one.expected.bytes or 0 for one in self.missing}
        return sum(max(0, size - staged_bytes(staging)) for staging, size in by_staging.items())


Unwell = Mapping[str, frozenset[str]]
"""The models that a check did not find whole, by key: the full paths of the files that it found wrong or missing."""


def incomplete(*reports: CheckReport) -> Unwell:
    """Return the models that one of these checks did not find whole."""
    unwell: dict[str, frozenset[str]] = {}
    for model in (model for report in reports for model in report.models if model.reason is not Reason.OK):
        wrong = frozenset(problem.file for problem in model.problems)
        unwell[model.key] = unwell.get(model.key, frozenset()) | wrong
    return unwell


def survey(
    models: Sequence[Model],
    unwell: Unwell,
    places: Places,
    sources: Sources,
    lock: Lock | None,
    hash_file: HashFile | None,
) -> tuple[Surveyed, ...]:
    """Ask the sources about the models that are not whole, and only about these. Raises ``HubError``."""
    return tuple(
        _survey(sources.artifact(model), unwell.get(model.key), places, lock, hash_file) for model in models
    )


def _survey(
    artifact: Artifact,
    wrong: frozenset[str] | None,
    places: Places,
    lock: Lock | None,
    hash_file: HashFile | None,
) -> Surveyed:
    model = artifact.model
    record = read_record(model, places)
    if record is not None and wrong is None:
        return Surveyed(artifact, record, None, None, _whole_bytes(model, places, lock))
    wanted = artifact.resolve()
    holding = artifact.look(wanted, record, hash_file, wrong or frozenset())
    return Surveyed(artifact, None, wanted, holding, wanted.whole_repository_bytes)


def _whole_bytes(model: Model, places: Places, lock: Lock | None) -> int | None:
    locked = lock.models.get(model.key) if lock is not None else None
    known = read_whole_bytes(model, places)
    if known is None and locked is not None:
        known = locked.whole_repository_bytes or locked.whole_repository_bytes_about
    return known
