"""Results of a check: plain values that the table, the JSON document, the worker and the warmer use."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from model_cache.catalog.catalog import Task
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason

if TYPE_CHECKING:
    from model_cache.catalog.expected_answers import Answer
    from model_cache.check.prepared_forms import FormReport

# Called during a deep check with the bytes read so far and the bytes in all, by one thread at a time.
ProgressCallback = Callable[[int, int], None]

_WORST_FIRST: Final = (
    Reason.CACHE_CORRUPT,
    Reason.NO_PERMISSION,  # before CACHE_INCOMPLETE, because fetching again does not correct it
    Reason.CACHE_INCOMPLETE,
    Reason.MODEL_UNUSABLE,
)


class Tier(StrEnum):
    """How thorough a check is.

    FAST: existence, links and sizes of all files. DEEP: their hashes too. LOAD: each model is loaded too, and its
    answers are compared.
    """

    FAST = "fast"
    DEEP = "deep"
    LOAD = "load"


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        file: full path.
        reason: kind of the problem.
        detail: what was found, as the end of a sentence that begins with the file.
        remedy: what to do about it.
    """

    file: str
    reason: Reason
    detail: str
    remedy: str


class AnswerComparison(NamedTuple):
    """One answer of a loaded model beside the expected one.

    Attributes:
        expected: the question, with the value that the lock holds.
        actual: the value that the model returned.
        difference: how they differ, in a few words; empty if they agree.
    """

    expected: "Answer"
    actual: object
    difference: str


class LoadResult(NamedTuple):
    """The result of loading one model.

    Attributes:
        seconds: duration of loading and answering.
        comparisons: the comparisons of its answers; empty if the lock has none of this model.
    """

    seconds: float
    comparisons: tuple[AnswerComparison, ...]


class ModelReport(NamedTuple):
    """The result of a check for one model.

    Attributes:
        key, task, source, revision: as in the catalog.
        reason: the worst of its problems, or `OK`.
        bytes: total size of its intact files.
        files: number of its intact files.
        path: the folder from which a library loads it.
        problems: the problems, in the order of the files.
        loaded: the result of the tier `LOAD`; None if it was not loaded, or could not be.
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
    loaded: LoadResult | None = None


class FileTotals(NamedTuple):
    """Total size and number of the intact files of one place."""

    bytes: int = 0
    files: int = 0


class CheckReport(NamedTuple):
    """The result of a check.

    Attributes:
        reason: the worst of all problems, or `OK`: the cache is complete.
        generation: the generation of the catalog.
        cache: `host`, or the folder as the user gave it.
        tier: how thorough the check was.
        bytes, files: sums over the models; a file that two models share counts once.
        seconds: duration of the check.
        models: the models, in catalog order.
        problems: those that concern no single model, as a missing manifest.
        places: the places of the cache.
        totals: bytes and files of the catalog's intact files, by place; their sums are `bytes` and `files`.
        notes: sentences about facts that are not problems but may surprise.
        unlisted: paths that no manifest lists, of the tier `DEEP`; None: not searched.
        prepared: the prepared forms of the models; `reason` says nothing of them.
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
    totals: Mapping[PlaceName, FileTotals] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] | None = None
    prepared: "tuple[FormReport, ...]" = ()


def all_problems(report: CheckReport) -> tuple[Problem, ...]:
    """Return all problems: those that concern no single model, then those of each model."""
    return (*report.problems, *(problem for model in report.models for problem in model.problems))


def worst_reason(reasons: Iterable[Reason]) -> Reason:
    """Return the most severe of several reasons; `OK` for none."""
    seen = set(reasons) - {Reason.OK}
    return next((reason for reason in _WORST_FIRST if reason in seen), next(iter(seen), Reason.OK))
