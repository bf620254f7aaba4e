"""The jobs of one queue and their outcomes: who waits, and how each of them ends, exactly once.

All of the queue's shared state is here, under one lock. Nothing here blocks, tokenises or computes.

Who has how much waiting for one model, and how long a caller has to wait for more.
"""

import threading
from collections.abc import Callable
from typing import Any, Generic

from qda_worker.errors import ModelDied, WorkerError
from qda_worker.models.base import BatchBudget, Output, Payload
from qda_worker.scheduling.jobs import Failed, Item, Job, Lane, Outcome, Result, Timings
from qda_worker.scheduling.lanes import Lanes
from qda_worker.scheduling.observer import (
    CANCELLED_BY_CALLER,
    CANCELLED_BY_WORKER,
    DEADLINE_PASSED,
    Observer,
)


class Backlog:
    """Texts and expected seconds by lane and caller, bytes by caller. Holds no lock: its owner does."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Lane, str], int] = {}
        self._seconds: dict[tuple[Lane, str], float] = {}
        self._bytes: dict[str, int] = {}

    @property
    def seconds(self) -> float:
        """What all that waits is expected to take."""
        return sum(self._seconds.values())

    def add(self, job: Job[Any], texts: int) -> None:
        """So many texts of a job wait from now on; fewer, if negative."""
        key = (job.lane, job.caller)
        count = self._texts.get(key, 0) + texts
        if count > 0:
            self._texts[key] = count
            self._seconds[key] = max(0.0, self._seconds.get(key, 0.0) + texts * job.seconds_each)
        else:
            self._texts.pop(key, None)
            self._seconds.pop(key, None)

    def hold(self, caller: str, size: int) -> None:
        """So many bytes of a caller's texts are held from now on; fewer, if negative."""
        held = self._bytes.get(caller, 0) + size
        if held > 0:
            self._bytes[caller] = held
        else:
            self._bytes.pop(caller, None)

    def bytes_of(self, caller: str) -> int:
        """How many bytes of a caller's texts are held, in both lanes."""
        return self._bytes.get(caller, 0)

    def texts_of(self, caller: str) -> int:
        """How many texts of a caller wait, in both lanes."""
        return sum(self._texts.get((lane, caller), 0) for lane in Lane)

    def seconds_until_done(self, job: Job[Any], seconds: float) -> float:
        """When work of so many seconds of this job's lane and caller would be done, if nothing else came any more.

        Callers share the time: until a caller's work is done, as much of each other's is, if it has so much. What the
        other lane does meanwhile is left out: the result is rather too small.
        """
        own = self._seconds.get((job.lane, job.caller), 0.0) + seconds
        return own + sum(
            min(others, own)
            for (lane, caller), others in self._seconds.items()
            if lane is job.lane and caller != job.caller
        )


class QueueState(Generic[Payload, Output, Result]):
    """Books what came in and what came out. `changed` is the lock, and tells the compute thread of every change."""

    def __init__(self, observer: Observer, budget: BatchBudget, clock: Callable[[], float]) -> None:
        self.changed = threading.Condition()
        self.lanes: Lanes[Payload, Output, Result] = Lanes(budget)
        self.waiting = 0
        self.waiting_bytes = 0
        self.failure: str | None = None
        self.closing = False
        self.backlog = Backlog()
        self._observer = observer
        self._clock = clock
        self._jobs: set[Job[Result]] = set()

    @property
    def finished(self) -> bool:
        """Whether nothing will ever have to be computed any more. The caller holds the lock."""
        return self.failure is not None or (self.closing and not self.waiting)

    def open(self, job: Job[Result]) -> None:
        """Takes a job in. The caller holds the lock, and has it admitted."""
        self.waiting += job.open
        self.waiting_bytes += job.bytes
        self.backlog.add(job, job.open)
        self.backlog.hold(job.caller, job.bytes)
        self._jobs.add(job)

    def watch(self, job: Job[Result]) -> None:
        """Has the job leave when its future is done, also by being cancelled."""
        job.future.add_done_callback(lambda _: self._forget(job))

    def add_units(self, item: Item[Payload, Output, Result]) -> None:
        """A tokenised text's units wait from now on."""
        with self.changed:
            self.lanes.add(item)
            self.changed.notify_all()

    def settle(self, job: Job[Result], number: int, outcome: Outcome[Result]) -> None:
        """Books the outcome of one text, unless it has one; the last completes its job."""
        with self.changed:
            if job.over or job.outcomes[number] is not None:
                return
            job.outcomes[number] = outcome
            job.open -= 1
            self.waiting -= 1
            self.backlog.add(job, -1)
            last = job.open == 0
        if isinstance(outcome, Failed):
            self._observer.on_outcome(outcome.error.reason, cut=False)
        else:
            self._observer.on_outcome("OK", cut=outcome.usage.cut)
        if last:
            self.complete(job)

    def complete(self, job: Job[Result]) -> None:
        """Gives a job whose texts all have their outcomes to who waits for it."""
        if job.future.set_running_or_notify_cancel():
            job.future.set_result([outcome for outcome in job.outcomes if outcome is not None])

    def refuse(self, job: Job[Result], error: WorkerError) -> None:
        """Ends a whole job without an answer."""
        with self.changed:
            if job.over:
                return
            left = self._release(job)
        if job.future.set_running_or_notify_cancel():
            self._observer.on_refused(error.reason, left)
            job.future.set_exception(error)
        else:
            self._observer.on_cancelled(self._why_cancelled(job), left)

    def close(self) -> tuple[Job[Result], ...]:
        """Nothing more is taken in; the jobs that wait."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
            return tuple(self._jobs)

    def fail(self, reason: str) -> bool:
        """The model is dead: every text that waits has that as its outcome. False if that was known."""
        with self.changed:
            if self.failure is not None:
                return False
            self.failure = reason
            jobs = tuple(self._jobs)
            self.lanes.clear()
            self.changed.notify_all()
        for job in jobs:
            for number in range(len(job.texts)):
                self.settle(job, number, Failed(ModelDied(reason), Timings()))
        return True

    def _forget(self, job: Job[Result]) -> None:
        with self.changed:
            left = self._release(job)
            self._jobs.discard(job)
            self.changed.notify_all()
        if left and job.future.cancelled():
            self._observer.on_cancelled(self._why_cancelled(job), left)

    def _why_cancelled(self, job: Job[Result]) -> str:
        if job.expired(self._clock()):
            return DEADLINE_PASSED
        return CANCELLED_BY_WORKER if self.closing else CANCELLED_BY_CALLER

    def _release(self, job: Job[Result]) -> int:
        """The job's texts wait no longer; how many that were."""
        left, job.open = job.open, 0
        self.waiting -= left
        self.waiting_bytes -= job.bytes
        self.backlog.add(job, -left)
        self.backlog.hold(job.caller, -job.bytes)
        job.bytes = 0
        return left
