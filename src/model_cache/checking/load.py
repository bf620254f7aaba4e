"""The third tier of a check: each model is loaded and asked, and its answers are compared with those in the lock.

Loading itself happens elsewhere (``load_child``): this module decides what to ask and what the answers mean.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from model_cache.catalogs.answers import Answer, Question, difference, recorded
from model_cache.catalogs.catalog import Model
from model_cache.catalogs.lock import Lock
from model_cache.checking.values import CheckReport, Compared, Loaded, ModelReport, Problem, Tier, worst
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason

_OTHER_ANSWER = (
    "run `cache-check --deep`; if every file is right, the catalog's serving settings or the libraries are others than "
    "those that the answers are from: then record them anew"
)


class Probed(NamedTuple):
    """What a loaded model said to each question, and how long loading and answering took."""

    answers: tuple[tuple[Question, object], ...]
    seconds: float


Probe = Callable[[Model, Sequence[Question]], Probed]
"""Loads a model and asks it; no questions: the fixed ones of its task. Raises ``ModelCacheError``."""


class Loads(NamedTuple):
    """The report of a load check, and what each loaded model answered, by key, as a lock keeps it."""

    report: CheckReport
    answers: Mapping[str, tuple[Answer, ...]]


def check_by_loading(
    report: CheckReport, models: Sequence[Model], lock: Lock | None, probe: Probe, *, record: bool
) -> Loads:
    """Load every model whose files an earlier tier found right, and compare what it answers.

    Args:
        report: of the earlier tier.
        models: the same models, in the same order.
        lock: has the answers that are expected.
        probe: loads a model.
        record: ask the fixed questions, and compare nothing.

    Raises:
        UsageError: what loads models is not installed.
    """
    reports: list[ModelReport] = []
    answers: dict[str, tuple[Answer, ...]] = {}
    for model, found in zip(models, report.models, strict=True):
        if found.reason is not Reason.OK:
            reports.append(found)
            continue
        expected = () if record else answers_of(model, lock)
        try:
            said = probe(model, [answer.question for answer in expected])
            answers[model.key] = tuple(_recorded(question, value) for question, value in said.answers)
        except ModelCacheError as error:
            if error.reason is Reason.USAGE:
                raise
            reports.append(_unusable(found, [Problem(found.path, error.reason, error.message, error.remedy)]))
            continue
        compared = _compared(expected, said)
        reports.append(_judged(found, Loaded(said.seconds, compared)))
    reasons = [*(one.reason for one in reports), *(problem.reason for problem in report.problems)]
    return Loads(report._replace(tier=Tier.LOAD, models=tuple(reports), reason=worst(reasons)), answers)


def answers_of(model: Model, lock: Lock | None) -> tuple[Answer, ...]:
    """Return what a lock knows of this very revision; nothing if it is a lock of another."""
    locked = lock.models.get(model.key) if lock is not None else None
    if locked is None or (locked.source, locked.revision) != (model.source_name, model.revision):
        return ()
    return locked.answers


def _recorded(question: Question, value: object) -> Answer:
    try:
        return recorded(question, value)
    except ValueError as error:  # numbers that are none
        raise ModelCacheError(str(error), _OTHER_ANSWER, reason=Reason.MODEL_UNUSABLE) from error


def _compared(expected: Sequence[Answer], said: Probed) -> tuple[Compared, ...]:
    pairs = zip(expected, said.answers, strict=bool(expected)) if expected else ()
    return tuple(Compared(answer, value, difference(answer, value)) for answer, (_, value) in pairs)


def _judged(found: ModelReport, loaded: Loaded) -> ModelReport:
    problems = [
        Problem(found.path, Reason.MODEL_UNUSABLE, f"{one.answer.question}: {one.difference}", _OTHER_ANSWER)
        for one in loaded.compared
        if one.difference
    ]
    return _unusable(found, problems)._replace(loaded=loaded) if problems else found._replace(loaded=loaded)


def _unusable(found: ModelReport, problems: Sequence[Problem]) -> ModelReport:
    return found._replace(
        reason=worst(problem.reason for problem in problems), problems=(*found.problems, *problems)
    )
