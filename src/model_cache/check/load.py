"""The third tier of a check: each model is loaded and asked, and its answers are compared with those in the lock.

Loading itself happens elsewhere (`load_child`): this module decides what to ask and what the answers mean.

Starts `python -m qda_worker.probe KEY`: a model is loaded in a process that may crash, hang or take all
memory.

The child is told to stay offline, and gets nothing of the cache onto its `sys.path`.

Writes what models answered into a lock, for `cache-check --record FILE`: later checks compare with it.

`cache-check --load` and `--record`: loads what the check found whole, and reads or writes the lock's
answers.
"""

import contextlib
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
from model_cache.catalog.expected_answers import Answer, Kind, Question, answer_to_json, difference, recorded
from model_cache.catalog.lock import Lock, LockedModel, dump_lock, load_lock, lock_document, parse_lock
from model_cache.check.types import CheckReport, Compared, Loaded, ModelReport, Problem, Tier, worst
from model_cache.cli.options import LogLevel, Options
from model_cache.errors import CacheUnreadable, LockInvalid, ModelCacheError, UsageError
from model_cache.places import Places
from model_cache.reasons import Reason

_OTHER_ANSWER: Final = (
    "run `cache-check --deep`; if every file is right, the catalog's serving settings or the libraries are others than "
    "those that the answers are from: then record them anew"
)


class Probed(NamedTuple):
    """What a loaded model said to each question, and how long loading and answering took."""

    answers: tuple[tuple[Question, object], ...]
    seconds: float


# Loads a model and asks it; no questions: the fixed ones of its task. Raises `ModelCacheError`.
Probe = Callable[[Model, Sequence[Question]], Probed]


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


OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_LAST_WORDS: Final = 400
_PROBE: Final = "qda_worker.probe"


def probe_in_child(
    catalog: Path | None,
    places: Places,
    environ: Mapping[str, str],
    timeout: float,
    command: Sequence[str] = (sys.executable, "-m", _PROBE),
) -> Probe:
    """Return a probe that starts a child for each model.

    Args:
        catalog: its file; None: the built-in one.
        places: of the cache.
        environ: this program's; the child's is made from it.
        timeout: seconds for loading and answering, of each model.
        command: what starts a probe.
    """
    arguments = ["--cache", places.label, *(["--catalog", str(catalog)] if catalog is not None else [])]
    child_environ = {**environ, **OFFLINE, "PYTHONPATH": _outside(environ.get("PYTHONPATH", ""), places)}

    def probe(model: Model, questions: Sequence[Question]) -> Probed:
        try:
            ended = subprocess.run(
                [*command, model.key, *arguments],
                input=json.dumps([question._asdict() for question in questions]).encode(),
                capture_output=True,
                env=child_environ,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            words = _last_words(error.stderr)
            raise _model_unusable(
                model, f"did not load and answer within {timeout:g} s{words}", _SLOW
            ) from error
        return _read(model, ended)

    return probe


_SLOW: Final = (
    "give it more time with --load-timeout, or see what it waits for; `cache-check --deep` reads its files"
)
_CRASHED: Final = (
    "see whether there is memory enough for it; then run `cache-check --deep`, which reads its files"
)


def _read(model: Model, ended: subprocess.CompletedProcess[bytes]) -> Probed:
    try:
        document: dict[str, Any] = json.loads(ended.stdout)
        if ended.returncode == 0:
            return Probed(
                tuple((_question(one), one["value"]) for one in document["answers"]), document["seconds"]
            )
        message, remedy, reason = document["message"], document["remedy"], Reason(document["reason"])
    except (ValueError, KeyError, TypeError) as error:
        raise _model_unusable(model, _how_it_ended(ended) + _last_words(ended.stderr), _CRASHED) from error
    if reason is Reason.USAGE:
        raise UsageError(f"--load: {message}", remedy)
    raise ModelCacheError(message, remedy, reason=Reason.MODEL_UNUSABLE)


def _question(one: dict[str, Any]) -> Question:
    return Question(Kind(one["kind"]), one["text"], one["other"])


def _how_it_ended(ended: subprocess.CompletedProcess[bytes]) -> str:
    code = ended.returncode
    if code >= 0:
        return f"the process that loaded it ended with status {code}"
    try:
        return f"the process that loaded it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the process that loaded it was ended by signal {-code}"


def _last_words(stderr: bytes | None) -> str:
    lines = [line.strip() for line in (stderr or b"").decode("utf-8", "replace").splitlines() if line.strip()]
    return f"; its last words: {lines[-1][-_LAST_WORDS:]}" if lines else ""


def _model_unusable(model: Model, what: str, remedy: str) -> ModelCacheError:
    return ModelCacheError(f"model {model.key}: {what}", remedy, reason=Reason.MODEL_UNUSABLE)


def _outside(path: str, places: Places) -> str:
    """Return the entries of a `PYTHONPATH` that are not in the cache: a `sitecustomize.py` there would run."""
    roots = [os.path.realpath(place.path) for place in places.all()]
    entries = [entry for entry in path.split(os.pathsep) if entry]
    return os.pathsep.join(entry for entry in entries if not _is_below(os.path.realpath(entry), roots))


def _is_below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root + os.sep) for root in roots)


def record_answers(path: Path, models: Sequence[Model], answers: Mapping[str, Sequence[Answer]]) -> None:
    """Replace the answers of these models in a lock, which is made if it is not there; all else in it stays.

    Raises `LockInvalid`, `CacheUnreadable`.
    """
    try:
        content = path.read_bytes() if path.exists() else None
        document = _with_answers(content, path, models, answers)
        _replace(path, dump_lock(document))
    except OSError as error:
        raise CacheUnreadable(
            f"cannot write the lock {path}: {error.strerror}", "give a file that this user may write"
        ) from error


def _with_answers(
    content: bytes | None, path: Path, models: Sequence[Model], answers: Mapping[str, Sequence[Answer]]
) -> dict[str, object]:
    known = parse_lock(content, str(path)).models if content is not None else {}
    fresh: dict[str, LockedModel] = {}
    for model in models:
        locked = known.get(model.key)
        if locked is None:
            fresh[model.key] = LockedModel(model.source_name, model.revision, {})
        elif (locked.source, locked.revision) != (model.source_name, model.revision):
            raise LockInvalid(
                f"{path} has facts of {locked.source} at {locked.revision} for {model.key}, not of the catalog's",
                "run `cache-warmer lock` first, which writes the facts of this revision",
            )
    former = json.loads(content) if content is not None else None
    document = lock_document([*known, *fresh], fresh, former)
    entries = document["models"]
    assert isinstance(entries, dict)  # as lock_document makes it
    for model in models:
        said = [answer_to_json(answer) for answer in answers[model.key]]
        entries[model.key] = {**entries[model.key], "answers": said}
    return document


def _replace(path: Path, content: bytes) -> None:
    """Write by rename, in the former file's place also where that is a link."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def report_by_loading(
    report: CheckReport,
    models: Sequence[Model],
    options: Options,
    environ: Mapping[str, str],
    timeout: float,
    record: str | None,
    stderr: TextIO,
) -> CheckReport:
    """Return the report with what loading adds. Raises `UsageError`, `LockInvalid`, `CacheUnreadable`."""
    lock = None if record is not None else load_lock(options.catalog)
    load = probe_in_child(options.catalog, report.places, environ, timeout)
    tells = options.log_level in (LogLevel.DEBUG, LogLevel.INFO)

    def probe(model: Model, questions: Sequence[Question]) -> Probed:
        if tells:
            print(f"cache-check: loading {model.key}", file=stderr, flush=True)
        return load(model, questions)

    began = time.perf_counter()
    loads = check_by_loading(report, models, lock, probe, record=record is not None)
    report = loads.report._replace(seconds=loads.report.seconds + time.perf_counter() - began)
    if record is None:
        return report
    if report.reason is not Reason.OK:
        note = f"nothing was recorded in {record}: not every model is well"
    else:
        record_answers(Path(record), models, loads.answers)
        note = f"{sum(map(len, loads.answers.values()))} answers were recorded in {record}"
    return report._replace(notes=(*report.notes, note))
