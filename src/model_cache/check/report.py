"""The report of a check: as a JSON document for programs, and as a table for people."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from model_cache.check.types import (
    AnswerComparison,
    CheckReport,
    FileTotals,
    LoadResult,
    ModelReport,
    Problem,
    all_problems,
)
from model_cache.explanations import hint_line
from model_cache.formatting import align_columns, human_bytes, printable
from model_cache.json_values import Json, to_json_value
from model_cache.places import Place
from model_cache.reasons import Reason

if TYPE_CHECKING:
    from model_cache.check.prepared_forms import FormReport

# Problems of one model, and unlisted paths, that the table shows; JSON has all of them.
MAX_PROBLEMS: Final = 20


def report_to_json(report: CheckReport) -> dict[str, Json]:
    """Return the document of `cache-check --format json`; `bytes` and `seconds` are plain numbers."""
    document = report._asdict()
    document["seconds"] = round(report.seconds, 6)
    document["models"] = [_model_to_json(model) for model in report.models]
    document["places"] = [_place_to_json(place, report) for place in report.places.all()]
    del document["totals"]  # they are part of the places
    if report.unlisted is None:
        del document["unlisted"]
    return {name: to_json_value(value) for name, value in document.items()}


def report_to_table(report: CheckReport, deep_check: str = "") -> str:
    """Return the tables and lists of a report: models, problems, answers, forms, notes, places, and the summary.

    Args:
        report: the report.
        deep_check: a sentence about the last deep check; empty: there was none.
    """
    head = ("MODEL", "TASK", "SOURCE", "REVISION", "FILES", "SIZE", "STATE")
    rows = [head, *(_model_row(model) for model in report.models)]
    blocks = [align_columns(rows, right={4, 5})]
    if problems := _problem_lines(report):
        blocks.append(_join_lines(problems))
    if any(model.loaded for model in report.models):
        blocks.append(_join_lines(line for model in report.models for line in load_result_lines(model)))
    if report.unlisted:
        blocks.append(_join_lines(_unlisted_lines(report.unlisted)))
    if report.prepared:
        blocks.append(_join_lines(line for form in report.prepared for line in form_lines(form)))
    if report.notes:
        blocks.append(_join_lines(f"note: {note}" for note in report.notes))
    blocks.append(align_columns(_place_rows(report), right={3, 4}))
    if deep_check:
        blocks.append(deep_check)
    blocks.append(f"{summary_line(report)}\n{hint_line(report.reason)}".rstrip())
    return "\n\n".join(blocks)


def paths_table(report: CheckReport) -> str:
    """Return one line per model: its key and the folder from which a library loads it."""
    return align_columns([(model.key, model.path) for model in report.models])


def summary_line(report: CheckReport) -> str:
    """Return the result for the whole cache in one line: its reason, the first such problem, and the remedy."""
    counts = f"{report.files} files, {human_bytes(report.bytes)}, {report.tier} check in {_duration(report.seconds)}"
    if report.reason is Reason.OK:
        return f"OK: {', '.join(model.key for model in report.models)}: complete ({counts})"
    problem = _first_problem(report)
    more = len(all_problems(report)) - 1
    rest = f" (and {more} more)" if more else ""
    return printable(
        f"{report.reason}: {problem.file}: {problem.detail}{rest} ({counts}). Remedy: {problem.remedy}"
    )


def load_result_lines(model: ModelReport) -> list[str]:
    """Return a line about loading a model, and one for each answer that was compared."""
    if model.loaded is None:
        return []
    loaded = f"loaded: {model.key}: loaded and answered in {model.loaded.seconds:.1f} s"
    count = len(model.loaded.comparisons)
    if not count:
        return [f"{loaded}; nothing compared: the lock has no answers of it (--record FILE writes them)"]
    lines = [f"{loaded}; {count} {'answers' if count > 1 else 'answer'} compared"]
    return [*lines, *(f"  {_comparison_line(comparison)}" for comparison in model.loaded.comparisons)]


def form_lines(form: "FormReport") -> list[str]:
    """Return a line about a prepared form, or one for each of its problems."""
    asked = "" if form.asked else "; the catalog does not ask for it"
    name = f"prepared: {form.key} in {form.precision}"
    if form.reason is Reason.OK:
        return [f"{name}: OK ({', '.join(form.variants)}; {human_bytes(form.bytes)}{asked}): {form.path}"]
    lines = [
        f"{name}: {problem.reason}: {problem.file}: {problem.detail}{asked}. Remedy: {problem.remedy}"
        for problem in form.problems[:MAX_PROBLEMS]
    ]
    more = len(form.problems) - MAX_PROBLEMS
    return [*lines, f"{name}: {more} more problems (all with --format json)"] if more > 0 else lines


def _join_lines(lines: Iterable[str]) -> str:
    return "\n".join(map(printable, lines))


def _first_problem(report: CheckReport) -> Problem:
    return next(problem for problem in all_problems(report) if problem.reason is report.reason)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _model_row(model: ModelReport) -> tuple[str, ...]:
    revision = model.revision[:12] if len(model.revision) == 40 else model.revision
    size = human_bytes(model.bytes)
    return model.key, str(model.task), model.source, revision, str(model.files), size, str(model.reason)


def _place_rows(report: CheckReport) -> list[tuple[str, ...]]:
    """Return the rows of the places with what each holds of this catalog, and their sum."""
    rows = [("PLACE", "PATH", "CHOSEN BY", "FILES", "SIZE")]
    for place in report.places.all():
        totals = _totals_of(place, report)
        size = human_bytes(totals.bytes)
        rows.append((str(place.name), str(place.path), place.chosen_by, str(totals.files), size))
    return [*rows, ("in all", "", "", str(report.files), human_bytes(report.bytes))]


def _totals_of(place: Place, report: CheckReport) -> FileTotals:
    return report.totals.get(place.name, FileTotals())


def _problem_lines(report: CheckReport) -> list[str]:
    groups = [("cache", report.problems), *((model.key, model.problems) for model in report.models)]
    summary_remedy = "" if report.reason is Reason.OK else _first_problem(report).remedy
    return [line for owner, problems in groups for line in _group_lines(owner, problems, summary_remedy)]


def _group_lines(owner: str, problems: Sequence[Problem], summary_remedy: str) -> list[str]:
    """Return a line per problem, without the remedy that the summary repeats."""
    lines = []
    for problem in problems[:MAX_PROBLEMS]:
        remedy = "" if problem.remedy == summary_remedy else f". Remedy: {problem.remedy}"
        lines.append(f"{problem.reason}: {owner}: {problem.file}: {problem.detail}{remedy}")
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"{owner}: {len(problems) - MAX_PROBLEMS} more problems (all with --format json)")
    return lines


def _unlisted_lines(paths: Sequence[str]) -> list[str]:
    lines = [f"unlisted: {path}" for path in paths[:MAX_PROBLEMS]]
    if len(paths) > MAX_PROBLEMS:
        lines.append(f"unlisted: {len(paths) - MAX_PROBLEMS} more paths (all with --format json)")
    return lines


def _comparison_line(comparison: AnswerComparison) -> str:
    expected = comparison.expected
    tolerance = f" within {expected.tolerance:g}" if expected.tolerance else ""
    origin = f"published: {expected.source}" if expected.source else "recorded"
    actual = json.dumps(comparison.actual, ensure_ascii=False)
    return f"{expected.question}: {comparison.difference or f'{actual}, as expected{tolerance}'} ({origin})"


def _model_to_json(model: ModelReport) -> dict[str, object]:
    document = model._asdict()
    if model.loaded is None:
        del document["loaded"]
    else:
        document["loaded"] = _load_result_to_json(model.loaded)
    return document


def _load_result_to_json(loaded: LoadResult) -> dict[str, object]:
    """Return each answer as in the lock, with the model's value as `said`, and the `difference` or null."""
    from model_cache.catalog.expected_answers import answer_to_json  # here: other tiers do not need it

    compared = [
        {**answer_to_json(one.expected), "said": one.actual, "difference": one.difference or None}
        for one in loaded.comparisons
    ]
    return {"seconds": loaded.seconds, "compared": compared}


def _place_to_json(place: Place, report: CheckReport) -> dict[str, object]:
    return {**place._asdict(), **_totals_of(place, report)._asdict()}
