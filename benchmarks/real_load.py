"""Load on a worker with the models of `real_size`."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any, Final

from benchmarks.real_size import EMBEDDING, ENTITIES, PARAPHRASE, SENTIMENT
from qda_worker.client import Client, Priority

# Lengths of the texts in tokens: of one text alone, and of texts in bulk.
SHORT_TEXT: Final = (16, 31)
BULK_TEXT: Final = (40, 70)
# Texts of a bulk call, and calls at a time, so that the worker can form full batches.
_BULK_TEXTS: Final = 16
_BULK_CALLERS: Final = 3

Call = Callable[[Sequence[str], Priority], Any]


def call_of(client: Client, key: str) -> Call:
    """Return the call that computes texts with a model of `real_size`."""
    calls: dict[str, Call] = {
        SENTIMENT: lambda texts, priority: client.sentiment(texts, priority=priority),
        ENTITIES: lambda texts, priority: client.entities(texts, priority=priority),
        EMBEDDING: lambda texts, priority: client.embed(texts, model=key, priority=priority, stream=False),
        PARAPHRASE: lambda texts, priority: client.embed(texts, model=key, priority=priority, stream=False),
    }
    return calls[key]


def single_text_seconds(call: Call, texts: Sequence[str], seconds: float) -> list[float]:
    """Return the durations of calls with one text each, one after the other, until `seconds` have passed."""
    durations: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or not durations:
        began = time.perf_counter()
        call([texts[len(durations) % len(texts)]], Priority.INTERACTIVE)
        durations.append(time.perf_counter() - began)
    return durations


def bulk_rate(call: Call, texts: Sequence[str], seconds: float) -> float:
    """Return the texts per second of several callers that keep the queue filled until `seconds` have passed."""
    answered = 0
    lock = threading.Lock()
    began = time.monotonic()

    def work(number: int) -> None:
        nonlocal answered
        position = number * _BULK_TEXTS
        while time.monotonic() < began + seconds:
            part = [texts[(position + offset) % len(texts)] for offset in range(_BULK_TEXTS)]
            call(part, Priority.BULK)
            position += _BULK_CALLERS * _BULK_TEXTS
            with lock:
                answered += len(part)

    run_together([partial(work, number) for number in range(_BULK_CALLERS)])
    return answered / (time.monotonic() - began)


def run_together(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run tasks at the same time, each in a thread of its own, and return their results."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return minimum, median and maximum as text."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
