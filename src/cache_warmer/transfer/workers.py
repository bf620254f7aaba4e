"""Runs tasks in a few threads that a signal can end.

The standard pool joins its threads at exit, so a thread that waits for a silent server would hold up the
program for the whole stall time. These are daemons: the main thread waits where signals are heard, tells
them to stop and does not wait for a socket. What they fetched is on disk already.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from cache_warmer.errors import Interrupted

_Result = TypeVar("_Result")
_GRACE_SECONDS = 2.0
"""How long threads may finish the chunk they are at."""


class Stop:
    """Tells the threads of a run to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Let every wait and every chunk raise from now on."""
        self._event.set()

    def check(self) -> None:
        """Raise ``Interrupted`` if the run shall stop."""
        if self._event.is_set():
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait; raise ``Interrupted`` at once if the run shall stop."""
        if self._event.wait(seconds):
            raise Interrupted


class _Outcome(Generic[_Result]):
    def __init__(self, index: int, result: _Result | None, error: BaseException | None) -> None:
        self.index, self.result, self.error = index, result, error


def run_all(tasks: Sequence[Callable[[], _Result]], workers: int, stop: Stop) -> list[_Result]:
    """Return the results in the order of the tasks; the first failure stops the rest and is raised."""
    waiting: queue.SimpleQueue[tuple[int, Callable[[], _Result]]] = queue.SimpleQueue()
    outcomes: queue.SimpleQueue[_Outcome[_Result]] = queue.SimpleQueue()
    for numbered in enumerate(tasks):
        waiting.put(numbered)
    threads = [
        threading.Thread(target=_work, args=(waiting, outcomes, stop), daemon=True, name=f"fetch-{number}")
        for number in range(min(workers, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    results: dict[int, _Result] = {}
    try:
        while len(results) < len(tasks):
            outcome = outcomes.get()
            if outcome.error is not None:
                raise outcome.error
            results[outcome.index] = outcome.result  # type: ignore[assignment]  # there is one without an error
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join(_GRACE_SECONDS / len(threads))
        raise
    return [results[index] for index in range(len(tasks))]


def _work(
    waiting: "queue.SimpleQueue[tuple[int, Callable[[], _Result]]]",
    outcomes: "queue.SimpleQueue[_Outcome[_Result]]",
    stop: Stop,
) -> None:
    while True:
        try:
            index, task = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            stop.check()
            outcomes.put(_Outcome(index, task(), None))
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            outcomes.put(_Outcome(index, None, error))
            return
