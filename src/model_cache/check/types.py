"""What a check says: plain values that the table, the JSON, the worker and the warmer read alike."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from model_cache.catalog.catalog import Task
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason

if TYPE_CHECKING:
    from model_cache.catalog.expected_answers import Answer

# Called during a deep check with the bytes read so far and the bytes in all, one call at a time.
Progress = Callable[[int, int], None]


class Tier(StrEnum):
    """How closely a check looks: names, links and sizes; every hash; loading each model."""

    FAST = "fast"
    DEEP = "deep"
    LOAD = "load"


class Problem(NamedTuple):
    """One thing that is wrong: the file's full path, the reason, what was seen and what to do."""

    file: str
    reason: Reason
    detail: str
    remedy: str


class Compared(NamedTuple):
    """One answer of a loaded model: what it should be, what it was, and how they differ (empty: they agree)."""

    answer: "Answer"
    said: object
    difference: str


class Loaded(NamedTuple):
    """What became of loading a model: how long loading and answering took, and what was compared, if anything."""

    seconds: float
    compared: tuple[Compared, ...]


class ModelReport(NamedTuple):
    """What was found of one model.

    Attributes:
        key, task, source, revision: as in the catalog.
        reason: the worst of its problems, or `OK`.
        bytes: size of its files that were found right.
        files: how many files were found right.
        path: the folder from which a library loads it.
        problems: in the order of the files.
        loaded: of the tier `LOAD`; None: it was not loaded, or could not be.
    """

    key: str
    task: Task
    source: str
    revision: str
    reason: Reason
    bytes: int
    files: int
    path: str
    problems: tuple[Problem, ...]
    loaded: Loaded | None = None


class Content(NamedTuple):
    """What was found right in one place: the catalog's files there, and their bytes."""

    bytes: int = 0
    files: int = 0


class CheckReport(NamedTuple):
    """What a check found.

    Attributes:
        reason: the worst of all problems, or `OK`: the cache is complete.
        generation: of the catalog.
        cache: `host`, or the folder as the user gave it.
        tier: how closely it looked.
        bytes, files: the sums over the models; a file that two models share counts once.
        seconds: how long it took.
        models: in catalog order.
        problems: those that belong to no model, as a missing manifest.
        places: where the cache's parts are and why.
        contents: what was found right in each place; together they are `bytes` and `files`.
        notes: what is no fault and yet surprises, a sentence each.
        unlisted: paths that no manifest lists, of the tier `DEEP`; None: nobody looked.
    """

    reason: Reason
    generation: str
    cache: str
    tier: Tier
    bytes: int
    files: int
    seconds: float
    models: tuple[ModelReport, ...]
    problems: tuple[Problem, ...]
    places: Places
    contents: Mapping[PlaceName, Content] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] | None = None


def problems_of(report: CheckReport) -> tuple[Problem, ...]:
    """Return all problems: those of no model, then each model's."""
    return (*report.problems, *(problem for model in report.models for problem in model.problems))


_WORST_FIRST: Final = (
    Reason.CACHE_CORRUPT,
    Reason.NO_PERMISSION,  # before incomplete: fetching again does not mend it
    Reason.CACHE_INCOMPLETE,
    Reason.MODEL_UNUSABLE,
)


def worst(reasons: Iterable[Reason]) -> Reason:
    """Return the reason that stands for all of them; `OK` for none."""
    seen = set(reasons) - {Reason.OK}
    return next((reason for reason in _WORST_FIRST if reason in seen), next(iter(seen), Reason.OK))
