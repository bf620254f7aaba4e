"""The load check: load each model whose files are intact, and compare its answers with those in the lock.

Each model is loaded by `python -m qda_worker.probe KEY` in a child process, because loading may crash, hang or use all
memory. The child gets the questions as JSON on stdin, and returns answers or an error as JSON on stdout. It is offline,
its `PYTHONPATH` has no folder of the cache, and it is killed after the time limit. Every failure is a problem of
that model (MODEL_UNUSABLE), and the next model is loaded.

With `--record FILE` the probe asks its own fixed questions, and the answers are written into a lock.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from model_cache.catalog.catalog import Model
from model_cache.catalog.expected_answers import (
    Answer,
    Question,
    QuestionKind,
    answer_to_json,
    build_answer,
    describe_difference,
)
from model_cache.catalog.lock import Lock, LockedModel, dump_lock, load_lock, lock_document, parse_lock
from model_cache.check.types import (
    AnswerComparison,
    CheckReport,
    LoadResult,
    ModelReport,
    Problem,
    Tier,
    worst_reason,
)
from model_cache.cli.options import OFFLINE_VARIABLES, LogLevel, SharedOptions
from model_cache.errors import CacheUnreadable, LockInvalid, ModelCacheError, UsageError
from model_cache.file_io import read_small_file, replacement, take_over_mode
from model_cache.json_values import parse_json_object, to_json_value
from model_cache.places import Places
from model_cache.reasons import Reason

_PROBE_MODULE: Final = "qda_worker.probe"
_MAX_OUTPUT_CHARACTERS: Final = 400

_DIFFERS_REMEDY: Final = (
    "run `cache-check --deep`; if every file is right, the catalog's serving settings or the libraries are not those "
    "of the expected answers: then record new ones with --record"
)
_TIMEOUT_REMEDY: Final = (
    "give it more time with --load-timeout, or see what it waits for; `cache-check --deep` reads its files"
)
_CRASH_REMEDY: Final = (
    "see whether there is enough memory for it; then run `cache-check --deep`, which reads its files"
)


class ProbeResult(NamedTuple):
    """The answers of a loaded model.

    Attributes:
        answers: each question with the value that the model returned.
        seconds: duration of loading and answering.
    """

    answers: tuple[tuple[Question, object], ...]
    seconds: float


# Loads a model and computes its answers to these questions, or to the fixed ones of its task if there are none. Raises
# ModelCacheError.
Probe = Callable[[Model, Sequence[Question]], ProbeResult]


class LoadCheckResult(NamedTuple):
    """The report of a load check, and the answers of each loaded model by key, as a lock keeps them."""

    report: CheckReport
    answers: Mapping[str, tuple[Answer, ...]]


def run_load_check(
    report: CheckReport,
    models: Sequence[Model],
    options: SharedOptions,
    environ: Mapping[str, str],
    timeout: float,
    record: str | None,
    stderr: TextIO,
) -> CheckReport:
    """Run the load check of `cache-check`.

    Args:
        report: the report of the fast or deep check.
        models: the same models, in the same order.
        options: the options of the program.
        environ: the environment of the program.
        timeout: seconds for loading and answering, per model.
        record: the lock into which answers are written; None: compare with the catalog's lock.
        stderr: where progress is printed.

    Returns:
        The report with the results of loading.

    Raises:
        UsageError: the worker's libraries are not installed.
        LockInvalid: the lock does not parse, or is about another revision.
        CacheUnreadable: the lock cannot be read or written.
    """
    lock = None if record is not None else load_lock(options.catalog)
    load = subprocess_probe(options.catalog, report.places, environ, timeout)
    shows_progress = options.log_level in (LogLevel.DEBUG, LogLevel.INFO)

    def probe(model: Model, questions: Sequence[Question]) -> ProbeResult:
        if shows_progress:
            print(f"cache-check: loading {model.key}", file=stderr, flush=True)
        return load(model, questions)

    start = time.perf_counter()
    result = load_and_compare(report, models, lock, probe, record=record is not None)
    seconds = time.perf_counter() - start
    report = result.report._replace(seconds=result.report.seconds + seconds)
    if record is None:
        return report
    if report.reason is not Reason.OK:
        note = f"nothing was recorded in {record}: not every model is usable"
    else:
        record_answers(Path(record), models, result.answers)
        note = f"{sum(map(len, result.answers.values()))} answers were recorded in {record}"
    return report._replace(notes=(*report.notes, note))


def load_and_compare(
    report: CheckReport, models: Sequence[Model], lock: Lock | None, probe: Probe, *, record: bool
) -> LoadCheckResult:
    """Load every model whose files are intact, and compare its answers.

    Args:
        report: the report of the fast or deep check.
        models: the same models, in the same order.
        lock: has the expected answers.
        probe: loads a model.
        record: ask the fixed questions, and compare nothing.

    Raises:
        UsageError: the worker's libraries are not installed.
    """
    reports: list[ModelReport] = []
    answers: dict[str, tuple[Answer, ...]] = {}
    for model, model_report in zip(models, report.models, strict=True):
        if model_report.reason is not Reason.OK:
            reports.append(model_report)
            continue
        expected = () if record else answers_of_revision(model, lock)
        try:
            result = probe(model, [answer.question for answer in expected])
            answers[model.key] = tuple(_answer(question, value) for question, value in result.answers)
        except ModelCacheError as error:
            if error.reason is Reason.USAGE:
                raise
            problem = Problem(model_report.path, error.reason, error.message, error.remedy)
            reports.append(_with_problems(model_report, [problem]))
            continue
        reports.append(_with_result(model_report, LoadResult(result.seconds, _compare(expected, result))))
    reasons = [*(one.reason for one in reports), *(problem.reason for problem in report.problems)]
    report = report._replace(tier=Tier.LOAD, models=tuple(reports), reason=worst_reason(reasons))
    return LoadCheckResult(report, answers)


def answers_of_revision(model: Model, lock: Lock | None) -> tuple[Answer, ...]:
    """Return the expected answers of a model; none if the lock is about another revision."""
    locked = lock.models.get(model.key) if lock is not None else None
    if locked is None or (locked.source, locked.revision) != (model.source_name, model.revision):
        return ()
    return locked.answers


def subprocess_probe(
    catalog: Path | None,
    places: Places,
    environ: Mapping[str, str],
    timeout: float,
    command: Sequence[str] = (sys.executable, "-P", "-m", _PROBE_MODULE),
) -> Probe:
    """Return a probe that starts a child process for each model.

    Args:
        catalog: its file; None: the built-in one.
        places: the places of the cache.
        environ: the environment of this program; the child's is derived from it.
        timeout: seconds for loading and answering, per model.
        command: which starts a probe; by default without the working folder on its path, which may hold anything.
    """
    arguments = ["--cache", places.label, *(["--catalog", str(catalog)] if catalog is not None else [])]
    python_path = _without_cache(environ.get("PYTHONPATH", ""), places)
    child_environ = {**environ, **dict.fromkeys(OFFLINE_VARIABLES, "1"), "PYTHONPATH": python_path}

    def probe(model: Model, questions: Sequence[Question]) -> ProbeResult:
        try:
            child = subprocess.run(
                [*command, model.key, *arguments],
                input=json.dumps(to_json_value(questions)).encode(),  # ASCII, whatever the child's locale
                capture_output=True,
                env=child_environ,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            output = _last_output(error.stderr)
            message = f"did not load and answer within {timeout:g} s{output}"
            raise _unusable(model, message, _TIMEOUT_REMEDY) from error
        return _parse_child_output(model, child)

    return probe


def record_answers(path: Path, models: Sequence[Model], answers: Mapping[str, Sequence[Answer]]) -> None:
    """Replace the answers of these models in a lock, and keep everything else in it.

    The lock is created if it does not exist, and keeps its mode if it does. Where `path` is a link, its target is
    replaced.

    Raises:
        LockInvalid: the file is not a lock, or is about another revision of a model.
        CacheUnreadable: the file cannot be read or written.
    """
    target = Path(os.path.realpath(path))
    try:
        content = _read_if_exists(path)
        document = _with_answers(content, path, models, answers)
        with replacement(target, prepare=lambda descriptor: take_over_mode(target, descriptor)) as file:
            file.write(dump_lock(document))
    except OSError as error:
        raise CacheUnreadable(
            f"cannot write the lock {path}: {error.strerror}", "give a file that this user may write"
        ) from error


def _answer(question: Question, value: object) -> Answer:
    try:
        return build_answer(question, value)
    except ValueError as error:  # as NaN where a number should be
        raise ModelCacheError(str(error), _DIFFERS_REMEDY, reason=Reason.MODEL_UNUSABLE) from error


def _compare(expected: Sequence[Answer], result: ProbeResult) -> tuple[AnswerComparison, ...]:
    # Without expected answers the probe has asked its fixed questions.
    pairs = zip(expected, result.answers, strict=True) if expected else ()
    return tuple(
        AnswerComparison(answer, actual, describe_difference(answer, actual)) for answer, (_, actual) in pairs
    )


def _with_result(report: ModelReport, loaded: LoadResult) -> ModelReport:
    problems = [
        Problem(
            report.path,
            Reason.MODEL_UNUSABLE,
            f"{comparison.expected.question}: {comparison.difference}",
            _DIFFERS_REMEDY,
        )
        for comparison in loaded.comparisons
        if comparison.difference
    ]
    report = report._replace(loaded=loaded)
    return _with_problems(report, problems) if problems else report


def _with_problems(report: ModelReport, problems: Sequence[Problem]) -> ModelReport:
    return report._replace(
        reason=worst_reason(problem.reason for problem in problems), problems=(*report.problems, *problems)
    )


def _parse_child_output(model: Model, child: "subprocess.CompletedProcess[bytes]") -> ProbeResult:
    """Return the answers of the child's document, or raise the error that it describes."""
    try:
        document = parse_json_object(child.stdout)
        if child.returncode == 0:
            answers = tuple((_question(one), one["value"]) for one in document["answers"])
            return ProbeResult(answers, document["seconds"])
        message, remedy, reason = document["message"], document["remedy"], Reason(document["reason"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(model, _describe_end(child) + _last_output(child.stderr), _CRASH_REMEDY) from error
    if reason is Reason.USAGE:
        raise UsageError(f"--load: {message}", remedy)
    raise ModelCacheError(message, remedy, reason=Reason.MODEL_UNUSABLE)


def _question(one: Mapping[str, Any]) -> Question:
    return Question(QuestionKind(one["kind"]), one["text"], one["other"])


def _describe_end(child: "subprocess.CompletedProcess[bytes]") -> str:
    code = child.returncode
    if code >= 0:
        return f"the process that loaded it ended with status {code}"
    try:
        return f"the process that loaded it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the process that loaded it was ended by signal {-code}"


def _last_output(stderr: bytes | None) -> str:
    lines = [line.strip() for line in (stderr or b"").decode("utf-8", "replace").splitlines() if line.strip()]
    return f"; its last output: {lines[-1][-_MAX_OUTPUT_CHARACTERS:]}" if lines else ""


def _unusable(model: Model, what: str, remedy: str) -> ModelCacheError:
    return ModelCacheError(f"model {model.key}: {what}", remedy, reason=Reason.MODEL_UNUSABLE)


def _without_cache(python_path: str, places: Places) -> str:
    """Return the entries of a `PYTHONPATH` that are not in the cache, where a `sitecustomize.py` would run."""
    roots = [os.path.realpath(place.path) for place in places.all()]
    entries = [entry for entry in python_path.split(os.pathsep) if entry]
    return os.pathsep.join(entry for entry in entries if not _is_below(os.path.realpath(entry), roots))


def _is_below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root + os.sep) for root in roots)


def _read_if_exists(path: Path) -> bytes | None:
    try:
        return read_small_file(path)
    except FileNotFoundError:
        return None


def _with_answers(
    content: bytes | None, path: Path, models: Sequence[Model], answers: Mapping[str, Sequence[Answer]]
) -> dict[str, object]:
    """Return the lock's document with the answers of these models."""
    known = parse_lock(content, str(path)).models if content is not None else {}
    new: dict[str, LockedModel] = {}
    for model in models:
        locked = known.get(model.key)
        if locked is None:
            new[model.key] = LockedModel(model.source_name, model.revision, {})
        elif (locked.source, locked.revision) != (model.source_name, model.revision):
            raise LockInvalid(
                f"{path} has facts of {locked.source} at {locked.revision} for {model.key}, not of the catalog's",
                "run `cache-warmer lock` first, which writes the facts of this revision",
            )
    former = parse_json_object(content) if content is not None else None
    document = lock_document([*known, *new], new, former)
    entries = document["models"]
    assert isinstance(entries, dict)  # lock_document returns it as one
    for model in models:
        recorded = [answer_to_json(answer) for answer in answers[model.key]]
        entries[model.key] = {**entries[model.key], "answers": recorded}
    return document
