"""Latency of single texts at 1, 8 and 64 callers, and of an interactive caller beside a bulk job."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, islice
from statistics import median
from typing import Final

from benchmarks.real_load import BULK_TEXT, SHORT_TEXT
from benchmarks.real_size import EMBEDDING, PARAPHRASE, SENTIMENT
from benchmarks.results import Better, Bound, Goal, Role, Row, Side, percentile
from benchmarks.session import (
    LABELS,
    QUICK_BARE,
    REDUCED,
    Session,
    Start,
    Turn,
    attempt_all,
    compare,
    measured,
    texts_of,
    workers_by_engine,
)
from benchmarks.sides import BARE, Contestant, InfinitySide, WorkerSide, task_of
from qda_worker.client import CallCancelled, Priority, SentimentTask

_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# Calls of each caller in a repetition, by the number of callers: in the quick run, and in the full run.
_CALLS: Final = {1: (20, 200), 8: (3, 50), 64: (1, 10)}
# With more callers, the quick run has one repetition: a round of 64 takes 4 s.
_FEW_CALLERS: Final = 8
_BULK_TEXTS: Final = 100_000
# Seconds that a bulk job has run before the interactive caller begins.
_HEAD_START: Final = 1.5
# What one text may take longer than the bare forward pass, in milliseconds.
_OVERHEAD_MS: Final = 2.0
# How many times as long as idle an interactive text may take beside a bulk job.
_BESIDE_BULK: Final = 3.0


def rows(session: Session) -> list[Row]:
    """Measure each number of callers, and one caller in each precision."""
    found = []
    for key in (PARAPHRASE,) if session.quick else (SENTIMENT, PARAPHRASE, EMBEDDING):
        library = "transformers" if task_of(key) == "sentiment" else "sentence-transformers"
        kinds = QUICK_BARE[key] if session.quick else BARE
        starts: list[Start] = [
            ("worker", Role.OURS, partial(session.worker, key)),
            *([] if session.quick else workers_by_engine(session, key, "fp32")),
            *((LABELS[kind], Role.BASELINE, partial(session.library, kind, key)) for kind in kinds),
            *((LABELS[kind], Role.PEER, partial(session.peer, kind, key)) for kind in (library, "infinity")),
        ]
        sides = attempt_all(starts)
        for callers in _CALLS:
            found += _rows_of(session, key, "fp32", callers, sides if callers == 1 else [sides[0], sides[-1]])
        for precision in REDUCED:
            if not session.quick:
                session.close_sides()
            found += _reduced_rows(session, key, precision)
        if not session.quick:
            session.close_sides()
    return found


def _reduced_rows(session: Session, key: str, precision: str) -> list[Row]:
    """Measure one caller of a prepared form, and the form computed alone."""
    starts: list[Start] = [("worker", Role.OURS, partial(session.worker, key, precision))]
    engines: tuple[str, ...] = ("auto",)
    if not session.quick:
        starts += workers_by_engine(session, key, precision)
        engines = ("torch", "openvino")
    starts += [
        (LABELS[f"bare-form-{engine}"], Role.BASELINE, partial(session.bare_form, key, precision, engine))
        for engine in engines
    ]
    return _rows_of(session, key, precision, 1, attempt_all(starts))


def interactive_rows(session: Session) -> list[Row]:
    """Measure one caller idle and beside a bulk job, in turns."""
    found = []
    for key in (PARAPHRASE,) if session.quick else (SENTIMENT, PARAPHRASE):
        worker = session.worker(key)
        calls = 10 if session.quick else 300
        idle: list[list[float]] = []
        beside: list[list[float]] = []
        for number in range(session.repetitions):
            texts = texts_of(calls, SHORT_TEXT, 100 + number)
            idle.append(worker.single_seconds(texts))
            with _bulk_job(worker, key, number):
                beside.append(worker.single_seconds(texts))
        for name, share in _SHARES.items():
            sides = (
                Side("beside the bulk job", Role.OURS, _milliseconds(beside, share), worker.note),
                Side("idle", Role.BASELINE, _milliseconds(idle, share)),
            )
            goals = (Goal(Role.BASELINE, Bound.RATIO_AT_MOST, _BESIDE_BULK),) * (name == "p99")
            found.append(Row({"model": key}, f"{name}, ms", Better.LOWER, sides, goals))
        if not session.quick:
            session.close_sides()
    return found


def _rows_of(session: Session, key: str, precision: str, callers: int, sides: Sequence[Turn]) -> list[Row]:
    calls = _CALLS[callers][not session.quick]

    def durations(side: Contestant, number: int) -> list[float]:
        texts = texts_of(callers * calls, SHORT_TEXT, 10 + number)
        if callers == 1:
            return side.single_seconds(texts)
        assert isinstance(side, WorkerSide | InfinitySide)
        return _concurrent(side.call, [texts[start::callers] for start in range(callers)])

    if callers == 1:
        compare(sides, 1, lambda side, _: side.single_seconds(_text_of_each_length()))
    repetitions = 1 if session.quick and callers > _FEW_CALLERS else session.repetitions
    values = compare(sides, repetitions, durations)
    for name, found in values.items():
        middle = 1000 * median(percentile(one, 0.5) for one in found)
        print(f"  {key}, {precision}, {callers} callers: {name} p50 {middle:.1f} ms", flush=True)
    rows_found = []
    for name, share in _SHARES.items():
        row_sides = measured(sides, {side: _milliseconds(found, share) for side, found in values.items()})
        goals: tuple[Goal, ...] = (Goal(Role.PEER, Bound.RATIO_AT_MOST, 1.0),)
        if callers == 1 and name == "p50":
            goals = (Goal(Role.BASELINE, Bound.DIFFERENCE_AT_MOST, _OVERHEAD_MS), *goals)
        labels = {"model": key, "precision": precision, "callers": str(callers)}
        rows_found.append(Row(labels, f"{name}, ms", Better.LOWER, row_sides, goals))
    return rows_found


def _text_of_each_length() -> list[str]:
    """Return texts that make a side prepare what it keeps for each length: some engines compile kernels for a shape."""
    low, high = SHORT_TEXT
    return [text for tokens in range(low, high + 1) for text in texts_of(1, (tokens, tokens), tokens)]


def _concurrent(call: Callable[[Sequence[str]], None], lists: Sequence[Sequence[str]]) -> list[float]:
    """Return the seconds of all calls of callers that send their texts one after the other."""

    def work(texts: Sequence[str]) -> list[float]:
        durations = []
        for text in texts:
            began = time.perf_counter()
            call([text])
            durations.append(time.perf_counter() - began)
        return durations

    with ThreadPoolExecutor(len(lists)) as pool:
        return [duration for durations in pool.map(work, lists) for duration in durations]


@contextmanager
def _bulk_job(worker: WorkerSide, key: str, number: int) -> Iterator[None]:
    """Stream a corpus through the worker until the end of the context, where the connection is closed."""
    seeds = count(1000 * (1 + number))
    endless = (text for seed in seeds for text in texts_of(500, BULK_TEXT, seed))
    corpus = islice(endless, _BULK_TEXTS)
    client = worker.new_client()

    def work() -> None:
        stream: Iterator[object] = (
            client.analyze(corpus, [SentimentTask()], priority=Priority.BULK)
            if task_of(key) == "sentiment"
            else client.embed_stream(corpus, model=key, priority=Priority.BULK)
        )
        with suppress(CallCancelled):
            for _ in stream:
                pass

    job = threading.Thread(target=work)
    job.start()
    time.sleep(_HEAD_START)
    try:
        yield
        if not job.is_alive():
            raise RuntimeError("the bulk job ended while the interactive caller was measured")
    finally:
        client.close()
        job.join()


def _milliseconds(repetitions: Sequence[Sequence[float]], share: float) -> tuple[float, ...]:
    return tuple(1000 * percentile(durations, share) for durations in repetitions)
