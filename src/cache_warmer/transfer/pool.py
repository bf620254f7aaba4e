"""Thread pool for downloads: every thread takes the next step of the first job that has one.

A job is a body and its steps are its ranges. So the files of all models download in parallel, a big one over several
connections, and no connection waits for a model to end.

The main thread starts the workers, waits on a queue of outcomes and yields results; it is where signals arrive. One
condition guards the lists of jobs; steps run outside it. The first failure of a step goes through the queue to the
main thread, which sets the `Stop`, wakes the workers and raises.

The standard library's executor is not used because it joins its threads at exit: a thread that waits for a silent
server would delay the exit by the whole stall time. These threads are daemons that are waited for briefly; what they
fetched is on disk already.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from cache_warmer.errors import Interrupted

_Result = TypeVar("_Result")
# Seconds that all threads together get to finish their present chunk.
_GRACE_SECONDS: Final = 2.0


class Stop:
    """Cancellation flag of a run, shared by all its threads, and the gate in front of what they publish."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._gate = threading.Condition()
        # Number of threads that are publishing now; guarded by `_gate`.
        self._publishing = 0

    def set(self) -> None:
        """Cancel: every `check`, `sleep` and `publishing` raises from now on."""
        self._event.set()

    def check(self) -> None:
        """Raise if the run was cancelled.

        Raises:
            Interrupted: it was.
        """
        if self._event.is_set():
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait, or raise as soon as the run is cancelled.

        Raises:
            Interrupted: it was cancelled.
        """
        if self._event.wait(seconds):
            raise Interrupted

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Enter a block that publishes something; `drained` waits for its end.

        Raises:
            Interrupted: the run was cancelled; nothing may be published any more.
        """
        with self._gate:
            self.check()
            self._publishing += 1
        try:
            yield
        finally:
            with self._gate:
                self._publishing -= 1
                self._gate.notify_all()

    @contextmanager
    def drained(self) -> Iterator[None]:
        """Cancel the run if the block fails, and return only when no thread publishes any more.

        For use inside a lease: whoever holds it next must not meet a thread of this run. A thread that waits for a slow
        disk delays the return, also after a second signal, which is raised at the end.
        """
        try:
            yield
        except BaseException:
            self.set()
            raise
        finally:
            self._wait_for_publishers()

    def _wait_for_publishers(self) -> None:
        signalled: BaseException | None = None
        while True:
            try:
                with self._gate:
                    self._gate.wait_for(lambda: not self._publishing)
                break
            except BaseException as error:  # noqa: BLE001  # a signal, raised below
                self.set()
                signalled = error
        if signalled is not None:
            raise signalled


@dataclass(frozen=True, slots=True)
class StepResult(Generic[_Result]):
    """The result of a job, returned by its last step."""

    value: _Result


class Job(Protocol[_Result]):
    """Work in steps, several of which may run in parallel."""

    def next_step(self, running: int) -> "Callable[[], StepResult[_Result] | None] | None":
        """Return the next step that can run now; None if there is none at present.

        Called by one thread at a time. The step that completes the job returns a `StepResult`, the others None.

        Args:
            running: number of steps of this job that run now.
        """
        ...


def run_jobs(
    jobs: Sequence[Job[_Result]], workers: int, stop: Stop
) -> Generator[tuple[int, _Result], None, None]:
    """Yield the index and the result of each job as it ends.

    Jobs start in their order. The first failure stops all of them and is raised; closing the generator stops them
    too.

    Args:
        jobs: what to run.
        workers: number of threads.
        stop: cancels the run; set here after a failure.
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
    """Run tasks in parallel and return their results in the order of the tasks.

    The first failure stops the others and is raised.

    Args:
        tasks: functions to call.
        workers: largest number of threads.
        stop: cancels the run; set here after a failure.
    """
    results = dict(run_jobs([_SingleStep(task) for task in tasks], min(workers, len(tasks)), stop))
    return [results[index] for index in range(len(tasks))]


class _SingleStep(Generic[_Result]):
    """A job of one step."""

    def __init__(self, task: Callable[[], _Result]) -> None:
        self._task, self._started = task, False

    def next_step(self, running: int) -> Callable[[], StepResult[_Result]] | None:
        if self._started:
            return None
        self._started = True
        return lambda: StepResult(self._task())


class _Pool(Generic[_Result]):
    def __init__(self, jobs: Sequence[Job[_Result]], stop: Stop) -> None:
        self.outcomes: queue.SimpleQueue[tuple[int, _Result] | BaseException] = queue.SimpleQueue()
        self._changed, self._stop = threading.Condition(), stop
        self._waiting = deque(enumerate(jobs))
        self._active: dict[int, Job[_Result]] = {}
        # Number of running steps of each active job.
        self._running: dict[int, int] = {}

    def work(self) -> None:
        """Run steps until no job is left. The target of every worker thread."""
        try:
            while (taken := self._take()) is not None:
                number, step = taken
                result = step()
                with self._changed:
                    self._running[number] -= 1
                    if result is not None:
                        del self._active[number], self._running[number]
                        self.outcomes.put((number, result.value))
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # passed to the main thread, which raises it
            self.outcomes.put(error)

    def wake(self) -> None:
        """Let waiting workers check whether they must stop."""
        with self._changed:
            self._changed.notify_all()

    def _take(self) -> tuple[int, Callable[[], StepResult[_Result] | None]] | None:
        """Wait for a step and return it with its job's index; None when all jobs are done."""
        with self._changed:
            while True:
                self._stop.check()
                for number, job in self._active.items():
                    step = job.next_step(self._running[number])
                    if step is not None:
                        self._running[number] += 1
                        return number, step
                if self._waiting:
                    number, job = self._waiting.popleft()
                    self._active[number], self._running[number] = job, 0
                elif not self._active:
                    return None
                else:
                    self._changed.wait()
