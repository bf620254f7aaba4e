"""Check the prepared forms of a catalog's models: whether the asked ones are there, and their files intact.

A form belongs to no generation, so nothing here decides whether a cache is complete. A worker whose catalog asks for a
precision needs its form, though, and a form that is not asked for yet may be asked for next. Both are reported.

`cache-check` calls `check_forms`; the worker calls `check_form` before it loads one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from model_cache.catalog.catalog import Model, Precision
from model_cache.catalog.lock import Lock
from model_cache.check.files import Remedies, inspect
from model_cache.check.types import Problem, Tier, worst_reason
from model_cache.layout import prepared_folder
from model_cache.places import Places
from model_cache.prepared_form import FormInvalid
from model_cache.prepared_store import (
    StoredForm,
    file_records,
    find,
    list_folders,
    read_source_hashes,
)
from model_cache.reasons import Reason


class FormReport(NamedTuple):
    """The result of a check for one model in one precision.

    Attributes:
        key: of the model.
        precision: of the form.
        asked: whether the catalog asks for it.
        reason: `OK`, `CACHE_INCOMPLETE` (missing), `CACHE_CORRUPT` (damaged) or `NO_PERMISSION`.
        path: folder of the form; empty: there is none.
        digest: the sha256 of its record; empty: not known.
        variants: names of its variants.
        bytes: total size of its files.
        problems: what is wrong.
    """

    key: str
    precision: Precision
    asked: bool
    reason: Reason
    path: str = ""
    digest: str = ""
    variants: tuple[str, ...] = ()
    bytes: int = 0
    problems: tuple[Problem, ...] = ()


def check_forms(
    models: Sequence[Model],
    places: Places,
    tier: Tier,
    remedy: Callable[[str, str], str],
    lock: Lock | None = None,
) -> tuple[FormReport, ...]:
    """Check the form that counts of each model and precision: what the catalog asks for, and what is there beside it.

    Args:
        models: of the catalog.
        places: of the cache.
        tier: `FAST` compares names and sizes, `DEEP` the hashes too.
        remedy: returns what makes the form of a model, given by its key, in a precision.
        lock: of the catalog.
    """
    return tuple(
        report
        for model in models
        for precision in _precisions(model, places)
        if (report := _check_model(model, precision, places, tier, remedy(model.key, precision), lock))
    )


def check_form(stored: StoredForm, places: Places, tier: Tier, remedy: str) -> tuple[Problem, ...]:
    """Return what is wrong with the files of a form.

    Args:
        stored: the form.
        places: of the cache.
        tier: `FAST` compares names and sizes, `DEEP` the hashes too.
        remedy: what makes the form again.
    """
    remedies = Remedies()
    intact, problems = inspect(file_records(stored), places, remedies)
    if tier is Tier.DEEP:
        from model_cache.check.deep import verify_hashes  # here: the fast tier does not need it

        problems = [*problems, *verify_hashes(intact, remedies).values()]
    # The commands of the check replace files of a generation: they cannot replace those of a form.
    return tuple(
        problem if problem.reason is Reason.NO_PERMISSION else problem._replace(remedy=remedy)
        for problem in problems
    )


def _precisions(model: Model, places: Places) -> list[Precision]:
    asked = [model.serving.precision] if model.serving.precision is not Precision.FP32 else []
    found = sorted({folder.precision for folder in list_folders(places, model.key)})
    return list(dict.fromkeys([*asked, *found]))


def _check_model(
    model: Model, precision: Precision, places: Places, tier: Tier, remedy: str, lock: Lock | None
) -> FormReport | None:
    """Return the report on one form; None if there is none and the catalog asks for none."""
    empty = FormReport(model.key, precision, model.serving.precision is precision, Reason.OK)
    folder = str(prepared_folder(places) / model.key)
    hashes = read_source_hashes(model, places, lock)
    if hashes is None:
        detail = f"cannot be judged for {precision}, because the model itself is not complete"
        problem = Problem(folder, Reason.CACHE_INCOMPLETE, detail, "complete the model, then check again")
        return _with_problems(empty, [problem]) if empty.asked else None
    try:
        stored = find(places, model.key, hashes, precision, model.revision)
    except FormInvalid as error:
        problem = Problem(error.file, Reason.CACHE_CORRUPT, error.detail, f"run `{remedy}`")
        return _with_problems(empty, [problem])
    if stored is None:
        detail = f"has no form in {precision} of these files, for which the catalog asks"
        problem = Problem(folder, Reason.CACHE_INCOMPLETE, detail, f"run `{remedy}`")
        return _with_problems(empty, [problem]) if empty.asked else None
    report = empty._replace(
        path=str(stored.folder), digest=stored.digest, variants=stored.form.variants, bytes=stored.form.bytes
    )
    return _with_problems(report, check_form(stored, places, tier, f"run `{remedy}`"))


def _with_problems(report: FormReport, problems: Sequence[Problem]) -> FormReport:
    reason = worst_reason(problem.reason for problem in problems)
    return report._replace(reason=reason, problems=tuple(problems))
