"""Survey the models: what is in the cache, what the source offers, and what must be fetched.

Complete models are answered from their records, without a request. The sources of all others are queried
concurrently, on the pool of `transfer.pool`; the files are then examined one model after the other in the calling
thread. A survey changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import Artifact, CacheState, HashFile, Resolution
from cache_warmer.artifacts.sources import Sources
from cache_warmer.disk.preflight import SpaceNeeded
from cache_warmer.records import read_records, read_repository_bytes
from cache_warmer.transfer.claim import staged_bytes
from cache_warmer.transfer.download import Download
from cache_warmer.transfer.pool import Stop, run_all
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.catalog.lock import Lock
from model_cache.check.types import CheckReport
from model_cache.layout import record_folders, snapshot_folder
from model_cache.manifest import ModelRecord
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason

# Number of concurrent hub queries: a catalog may hold hundreds of models, and a hub limits the requests of a client.
CONCURRENT_QUERIES: Final = 8

# Files that a check found wrong or missing: full paths, by the key of their model. A model without bad files of its
# own may be in it too: it lacks its record.
BadFiles = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class ModelSurvey:
    """The result for one model.

    Attributes:
        artifact: the model as it is stored.
        record: its verified files, if the check found all of them; else None.
        resolution: the files that its source offers; None if the model is complete.
        cache_state: which of them are in the cache; None if the model is complete.
        repository_bytes: size of its whole repository; None: not known.
        shared_bodies: Staging files of its bodies that are fetched for a model before it, and serve both.
    """

    artifact: Artifact
    record: ModelRecord | None
    resolution: Resolution | None
    cache_state: CacheState | None
    repository_bytes: int | None
    shared_bodies: frozenset[Path] = frozenset()

    @property
    def missing(self) -> tuple[Download, ...]:
        """The files that are not in the cache; several may be names of one body."""
        return self.cache_state.missing if self.cache_state is not None else ()

    @property
    def bodies(self) -> dict[Path, int]:
        """The bodies to fetch for this model: staging file to bytes, 0 if the size is not known."""
        missing = {one.staging: one.expected.bytes or 0 for one in self.missing}
        return {staging: size for staging, size in missing.items() if staging not in self.shared_bodies}

    @property
    def space_needed(self) -> SpaceNeeded:
        """The bytes of the bodies to fetch, and the inodes of all missing files."""
        space = self.artifact.space_needed(
            tuple(one for one in self.missing if one.staging not in self.shared_bodies)
        )
        return replace(space, inodes=self.artifact.space_needed(self.missing).inodes)

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes of the bodies to fetch, without what an earlier run staged; unknown sizes count as 0."""
        return sum(size - staged_bytes(staging, size) for staging, size in self.bodies.items() if size)


def written_folders(surveys: Sequence[ModelSurvey], places: Places) -> frozenset[Path]:
    """Return the folders that a run writes to for these models, for the preflight; none if nothing is missing."""
    incomplete = [one for one in surveys if one.missing]
    folders = [one.artifact.target_folders(one.missing) | one.artifact.name_folders() for one in incomplete]
    return frozenset(record_folders(places)).union(*folders) if incomplete else frozenset()


def written_files(surveys: Sequence[ModelSurvey]) -> frozenset[tuple[PlaceName, str]]:
    """Return the files of the hub that incomplete models consist of, by place and path, for the preflight."""
    return frozenset(
        (PlaceName.HUB, f"{snapshot_folder(source)}/{one.name}")
        for survey in surveys
        if survey.missing and survey.resolution is not None
        for one in survey.resolution.downloads
        if isinstance(source := survey.artifact.model.source, HuggingFaceSource)
    )


def bad_files(*reports: CheckReport) -> BadFiles:
    """Return the models that at least one of these checks did not find complete, with their bad files."""
    found: dict[str, frozenset[str]] = {}
    for model in (model for report in reports for model in report.models if model.reason is not Reason.OK):
        files = frozenset(problem.file for problem in model.problems)
        found[model.key] = found.get(model.key, frozenset()) | files
    return found


def survey_models(
    models: Sequence[Model],
    bad: BadFiles,
    places: Places,
    sources: Sources,
    lock: Lock | None,
    hash_file: HashFile | None,
    *,
    published: str = "",
) -> tuple[ModelSurvey, ...]:
    """Survey models; query the sources of those that are not complete.

    Args:
        models: in catalog order.
        bad: the models that the checks did not find complete.
        places: where the parts of the cache are.
        sources: the hub and the wheels.
        lock: the lock of the catalog.
        hash_file: Hashes a file that is in the cache without a record, or is bad. None (for a plan): its size decides.
        published: the generation whose manifest the check read; empty: it read the records of single models.

    Raises:
        HubError: a source cannot be queried, or does not have what the catalog names.
        OSError: the cache cannot be read.
    """
    artifacts = [sources.artifact(model) for model in models]
    records = read_records(models, places, lock, published=published)
    incomplete = [one for one in artifacts if one.model.key not in records or one.model.key in bad]
    results = run_all([one.resolve for one in incomplete], CONCURRENT_QUERIES, Stop())
    resolutions = {one.model.key: resolution for one, resolution in zip(incomplete, results, strict=True)}
    claimed: frozenset[Path] = frozenset()  # bodies of the models so far
    surveys = []
    for artifact in artifacts:
        model = artifact.model
        record, resolution = records.get(model.key), resolutions.get(model.key)
        if resolution is None:
            surveys.append(ModelSurvey(artifact, record, None, None, _repository_bytes(model, places, lock)))
            continue
        cache_state = artifact.inspect_cache(resolution, record, hash_file, bad.get(model.key, frozenset()))
        one = ModelSurvey(artifact, None, resolution, cache_state, resolution.whole_repository_bytes, claimed)
        claimed |= one.bodies.keys()
        surveys.append(one)
    return tuple(surveys)


def _repository_bytes(model: Model, places: Places, lock: Lock | None) -> int | None:
    """Return the size noted when the model was fetched, else that of the lock."""
    locked = lock.models.get(model.key) if lock is not None else None
    known = read_repository_bytes(model, places)
    if known is None and locked is not None:
        known = locked.whole_repository_bytes or locked.whole_repository_bytes_about
    return known
