"""Looks at every model once: what is there, what is offered, what is to be fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import Artifact, Download, HashFile, Holding, SpaceNeeded, Wanted
from cache_warmer.artifacts.sources import Sources
from cache_warmer.records import read_records, read_whole_bytes
from cache_warmer.transfer.pool import Stop, run_all
from cache_warmer.transfer.staging import staged_bytes
from model_cache.catalog.catalog import Model
from model_cache.catalog.lock import Lock
from model_cache.check.types import CheckReport
from model_cache.manifest import ModelRecord
from model_cache.places import Places
from model_cache.reasons import Reason

# A catalog of hundreds of models shall not wait for as many answers in a row; a hub bears so many.
QUESTIONS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class ModelSurvey:
    """One model.

    Attributes:
        artifact: it, as stored.
        record: its verified files, if the check found all of them right.
        wanted, holding: what its source offers and what of it is there; None if it is complete.
        whole_bytes: of its whole repository; None: not known.
        elsewhere: staging files of its bodies that a model before it fetches: one body serves both.
    """

    artifact: Artifact
    record: ModelRecord | None
    wanted: Wanted | None
    holding: Holding | None
    whole_bytes: int | None
    elsewhere: frozenset[Path] = frozenset()

    @property
    def missing(self) -> tuple[Download, ...]:
        """What is not there; several of it may be names of one body."""
        return self.holding.missing if self.holding is not None else ()

    @property
    def bodies(self) -> dict[Path, int]:
        """The bodies to fetch for it: staging file to size, 0 if that is not known."""
        missing = {one.staging: one.expected.bytes or 0 for one in self.missing}
        return {staging: size for staging, size in missing.items() if staging not in self.elsewhere}

    @property
    def room(self) -> SpaceNeeded:
        """What they take, and the names of all that is missing."""
        room = self.artifact.room(tuple(one for one in self.missing if one.staging not in self.elsewhere))
        return replace(room, inodes=self.artifact.room(self.missing).inodes)

    @property
    def bytes_to_fetch(self) -> int:
        """Of the bodies to fetch, without what an earlier run staged; a body of unknown size counts nothing."""
        return sum(size - staged_bytes(staging, size) for staging, size in self.bodies.items() if size)


# The models that a check did not find whole, by key: the full paths of the files that it found wrong or
# missing.
Unwell = Mapping[str, frozenset[str]]


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
) -> tuple[ModelSurvey, ...]:
    """Ask the sources about the models that are not whole, and only about these. Raises `HubError`."""
    artifacts = [sources.artifact(model) for model in models]
    records = read_records(models, places)
    asked = [one for one in artifacts if one.model.key not in records or one.model.key in unwell]
    offered = run_all([one.resolve for one in asked], QUESTIONS_AT_ONCE, Stop())
    wanted = {one.model.key: offer for one, offer in zip(asked, offered, strict=True)}
    elsewhere: frozenset[Path] = frozenset()
    surveyed = []
    for artifact in artifacts:
        model = artifact.model
        record, offer = records.get(model.key), wanted.get(model.key)
        if offer is None:
            surveyed.append(ModelSurvey(artifact, record, None, None, _whole_bytes(model, places, lock)))
            continue
        holding = artifact.look(offer, record, hash_file, unwell.get(model.key, frozenset()))
        one = ModelSurvey(artifact, None, offer, holding, offer.whole_repository_bytes, elsewhere)
        elsewhere |= one.bodies.keys()
        surveyed.append(one)
    return tuple(surveyed)


def _whole_bytes(model: Model, places: Places, lock: Lock | None) -> int | None:
    locked = lock.models.get(model.key) if lock is not None else None
    known = read_whole_bytes(model, places)
    if known is None and locked is not None:
        known = locked.whole_repository_bytes or locked.whole_repository_bytes_about
    return known
