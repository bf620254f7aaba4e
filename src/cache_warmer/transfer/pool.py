"""One pool for everything that is fetched: each of its threads takes the next step of the first job that has one.

A job is a body; its steps are its ranges. So the files of all models flow side by side, a big one over several
connections, and no connection waits for a model to end. The standard pool joins its threads at exit, so a thread that
waits for a silent server would hold up the program for the whole stall time. These are daemons: the main thread waits
where signals are heard, tells them to stop and does not wait for a socket. What they fetched is on disk already.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from cache_warmer.errors import Interrupted

_Result = TypeVar("_Result")
# How long threads may finish the chunk they are at.
_GRACE_SECONDS: Final = 2.0


class Stop:
    """Tells the threads of a run to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Let every wait and every chunk raise from now on."""
        self._event.set()

    def check(self) -> None:
        """Raise `Interrupted` if the run shall stop."""
        if self._event.is_set():
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait; raise `Interrupted` at once if the run shall stop."""
        if self._event.wait(seconds):
            raise Interrupted


class Job(Protocol[_Result]):
    """Something that is made in steps, several of them at once."""

    def next_step(self, running: int) -> "Callable[[], StepResult[_Result] | None] | None":
        """Return what can be done now, while so many steps run; None: nothing at present.

        Asked by one thread at a time. The step that ends the job returns what was made, the others return None.
        """
        ...


class StepResult(Generic[_Result]):
    """What a job made."""

    def __init__(self, value: _Result) -> None:
        self.value = value


def run_jobs(
    jobs: Sequence[Job[_Result]], workers: int, stop: Stop
) -> Generator[tuple[int, _Result], None, None]:
    """Yield (number of the job, what it made) as they end; the first failure stops the rest and is raised.

    The jobs begin in their order. Whoever gives the iterator up stops them.
    """
    pool = _Pool(jobs, stop)
    threads = [
        threading.Thread(target=pool.work, daemon=True, name=f"fetch-{number}") for number in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            outcome = pool.outcomes.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    except BaseException:
        stop.set()
        pool.wake()
        for thread in threads:
            thread.join(_GRACE_SECONDS / len(threads))
        raise


def run_all(tasks: Sequence[Callable[[], _Result]], workers: int, stop: Stop) -> list[_Result]:
    """Return the results in the order of the tasks; the first failure stops the rest and is raised."""
    results = dict(run_jobs([_Task(task) for task in tasks], min(workers, len(tasks)), stop))
    return [results[index] for index in range(len(tasks))]


class _Task(Generic[_Result]):
    """A job of one step."""

    def __init__(self, task: Callable[[], _Result]) -> None:
        self._task, self._begun = task, False

    def next_step(self, running: int) -> Callable[[], StepResult[_Result]] | None:
        if self._begun:
            return None
        self._begun = True
        return lambda: StepResult(self._task())


class _Pool(Generic[_Result]):
    def __init__(self, jobs: Sequence[Job[_Result]], stop: Stop) -> None:
        self.outcomes: queue.SimpleQueue[tuple[int, _Result] | BaseException] = queue.SimpleQueue()
        self._changed, self._stop = threading.Condition(), stop
        self._waiting = deque(enumerate(jobs))
        self._begun: dict[int, Job[_Result]] = {}
        self._running: dict[int, int] = {}

    def work(self) -> None:
        """Take step after step until there is nothing left."""
        try:
            while (taken := self._take()) is not None:
                number, step = taken
                made = step()
                with self._changed:
                    self._running[number] -= 1
                    if made is not None:
                        del self._begun[number], self._running[number]
                        self.outcomes.put((number, made.value))
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            self.outcomes.put(error)

    def wake(self) -> None:
        """Let those that wait for a step look whether they shall stop."""
        with self._changed:
            self._changed.notify_all()

    def _take(self) -> tuple[int, Callable[[], StepResult[_Result] | None]] | None:
        with self._changed:
            while True:
                self._stop.check()
                for number, job in self._begun.items():
                    step = job.next_step(self._running[number])
                    if step is not None:
                        self._running[number] += 1
                        return number, step
                if self._waiting:
                    number, job = self._waiting.popleft()
                    self._begun[number], self._running[number] = job, 0
                elif not self._begun:
                    return None
                else:
                    self._changed.wait()
