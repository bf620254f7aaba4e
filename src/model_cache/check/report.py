"""Writes a check's report as JSON for programs and as a table for people.

Says what loaded models answered, and what that was compared with: as JSON, and as lines for people.
"""

import json
from collections.abc import Sequence
from typing import Final

from model_cache.catalog.expected_answers import answer_to_json
from model_cache.check.types import CheckReport, Compared, Content, Loaded, ModelReport, Problem, problems_of
from model_cache.places import Place
from model_cache.reasons import Reason

# Problems that the table shows of one model; JSON has all of them.
MAX_PROBLEMS: Final = 20


def to_json(report: CheckReport) -> dict[str, object]:
    """Return the document of `cache-check --format json`; `bytes` and `seconds` are plain numbers."""
    document: dict[str, object] = {
        "reason": str(report.reason),
        "generation": report.generation,
        "cache": report.cache,
        "tier": str(report.tier),
        "bytes": report.bytes,
        "files": report.files,
        "seconds": round(report.seconds, 6),
        "models": [_model_to_json(model) for model in report.models],
        "problems": [_problem_to_json(problem) for problem in report.problems],
        "places": [_place_to_json(place, report) for place in report.places.all()],
        "notes": list(report.notes),
    }
    if report.unlisted is not None:
        document["unlisted"] = list(report.unlisted)
    return document


def to_table(report: CheckReport) -> str:
    """Return the table: models, problems, notes, places, then the verdict with its remedy."""
    head = ("MODEL", "TASK", "SOURCE", "REVISION", "FILES", "SIZE", "STATE")
    rows = [head, *(_row(model) for model in report.models)]
    blocks = [aligned(rows, right={4, 5})]
    problems = [line for lines in _problem_lines(report) for line in lines]
    if problems:
        blocks.append("\n".join(problems))
    if any(model.loaded for model in report.models):
        from model_cache.check.report import loaded_lines  # here: other tiers must not pay for it

        blocks.append("\n".join(line for model in report.models for line in loaded_lines(model)))
    if report.unlisted:
        blocks.append("\n".join(_unlisted_lines(report.unlisted)))
    if report.notes:
        blocks.append("\n".join(f"note: {note}" for note in report.notes))
    blocks.append(aligned(_place_rows(report), right={3, 4}))
    blocks.append(verdict(report))
    return "\n\n".join(blocks)


def paths_table(report: CheckReport) -> str:
    """Return one line a model: its key and the folder from which a library loads it."""
    return aligned([(model.key, model.path) for model in report.models])


def verdict(report: CheckReport) -> str:
    """Return the last line: what holds for the whole cache, and the remedy if something is wrong."""
    counted = (
        f"{report.files} files, {human_bytes(report.bytes)}, {report.tier} check in {_took(report.seconds)}"
    )
    if report.reason is Reason.OK:
        return f"OK: {', '.join(model.key for model in report.models)}: all there ({counted})"
    problem = _first(report)
    more = len(problems_of(report)) - 1
    rest = f" (and {more} more)" if more else ""
    return f"{report.reason}: {problem.file}: {problem.detail}{rest} ({counted}). Remedy: {problem.remedy}"


def human_bytes(count: int) -> str:
    """Return a size for people, in units of 1000: `999 B`, `1.2 kB`, `2.30 GB`."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.95 or unit == "PB":
            break
    return f"{size:.1f} {unit}"


def _first(report: CheckReport) -> Problem:
    return next(problem for problem in problems_of(report) if problem.reason is report.reason)


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _row(model: ModelReport) -> tuple[str, ...]:
    revision = model.revision[:12] if len(model.revision) == 40 else model.revision
    size = human_bytes(model.bytes)
    return model.key, str(model.task), model.source, revision, str(model.files), size, str(model.reason)


def _place_rows(report: CheckReport) -> list[tuple[str, ...]]:
    """Each place with what it holds of this catalog, and all of them together."""
    rows = [("PLACE", "PATH", "CHOSEN BY", "FILES", "SIZE")]
    for place in report.places.all():
        found = _content(place, report)
        size = human_bytes(found.bytes)
        rows.append((str(place.name), str(place.path), place.chosen_by, str(found.files), size))
    return [*rows, ("in all", "", "", str(report.files), human_bytes(report.bytes))]


def _content(place: Place, report: CheckReport) -> Content:
    return report.contents.get(place.name, Content())


def _place_to_json(place: Place, report: CheckReport) -> dict[str, object]:
    found = _content(place, report)
    return {
        "name": str(place.name),
        "path": str(place.path),
        "chosen_by": place.chosen_by,
        "bytes": found.bytes,
        "files": found.files,
    }


def _problem_lines(report: CheckReport) -> list[list[str]]:
    groups = [("cache", report.problems), *((model.key, model.problems) for model in report.models)]
    said = "" if report.reason is Reason.OK else _first(report).remedy
    return [_group(owner, problems, said) for owner, problems in groups if problems]


def _group(owner: str, problems: Sequence[Problem], said: str) -> list[str]:
    """Return a line a problem; a remedy that the verdict says is not repeated."""
    lines = []
    for problem in problems[:MAX_PROBLEMS]:
        remedy = "" if problem.remedy == said else f". Remedy: {problem.remedy}"
        lines.append(f"{problem.reason}: {owner}: {problem.file}: {problem.detail}{remedy}")
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"{owner}: {len(problems) - MAX_PROBLEMS} more problems (all with --format json)")
    return lines


def _unlisted_lines(paths: Sequence[str]) -> list[str]:
    lines = [f"unlisted: {path}" for path in paths[:MAX_PROBLEMS]]
    if len(paths) > MAX_PROBLEMS:
        lines.append(f"unlisted: {len(paths) - MAX_PROBLEMS} more paths (all with --format json)")
    return lines


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int] | set[int] = frozenset()) -> str:
    """Return rows as columns; those of `right` are aligned to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _model_to_json(model: ModelReport) -> dict[str, object]:
    document: dict[str, object] = {
        "key": model.key,
        "task": str(model.task),
        "source": model.source,
        "revision": model.revision,
        "reason": str(model.reason),
        "bytes": model.bytes,
        "files": model.files,
        "path": model.path,
        "problems": [_problem_to_json(problem) for problem in model.problems],
    }
    if model.loaded is not None:
        from model_cache.check.report import loaded_to_json  # here: other tiers must not pay for it

        document["loaded"] = loaded_to_json(model.loaded)
    return document


def _problem_to_json(problem: Problem) -> dict[str, str]:
    return {
        "file": problem.file,
        "reason": str(problem.reason),
        "detail": problem.detail,
        "remedy": problem.remedy,
    }


def loaded_to_json(loaded: Loaded) -> dict[str, object]:
    """Return `seconds` and `compared`: answers as in the lock, with what was `said` and the `difference`."""
    compared = [
        {**answer_to_json(one.answer), "said": one.said, "difference": one.difference or None}
        for one in loaded.compared
    ]
    return {"seconds": loaded.seconds, "compared": compared}


def loaded_lines(model: ModelReport) -> list[str]:
    """Return a line for loading, and one for each answer that was compared."""
    if model.loaded is None:
        return []
    loaded = f"loaded: {model.key}: loaded and answered in {model.loaded.seconds:.1f} s"
    if not model.loaded.compared:
        return [f"{loaded}; compared with nothing: the lock has no answers of it (--record FILE writes them)"]
    count = len(model.loaded.compared)
    lines = [f"{loaded}; {count} {'answers' if count > 1 else 'answer'} compared"]
    return [*lines, *(f"  {_line(one)}" for one in model.loaded.compared)]


def _line(one: Compared) -> str:
    within = f" within {one.answer.tolerance:g}" if one.answer.tolerance else ""
    whose = f"published: {one.answer.source}" if one.answer.source else "recorded"
    said = json.dumps(one.said, ensure_ascii=False)
    return f"{one.answer.question}: {one.difference or f'{said}, as it should be{within}'} ({whose})"
