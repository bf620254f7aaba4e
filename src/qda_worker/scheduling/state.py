"""The shared state of one queue: the jobs that wait, how many resources they hold, and how each of them ends.

All mutable state that the queue's threads share is in `QueueState`, under one lock: the condition `changed`. The event
loop (submit, cancel), the tokenizer pool, the compute thread and the thread that closes the queue all go through it.
Nothing here tokenizes, computes or blocks for longer than the lock. Observers and futures are called without the lock,
because their callbacks may come back here.

Each text gets at most one outcome and each job exactly one end, whichever comes first: the last outcome, a refusal of
the whole job, or cancellation by the caller. Every end releases the job's share of the limits exactly once.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Generic

from qda_worker.errors import ModelDied, WorkerError
from qda_worker.models.base import Output, Payload
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.scheduling.caller_load import Backlog, Estimate
from qda_worker.scheduling.jobs import Failure, Job, Outcome, Result, TextItem, Timings
from qda_worker.scheduling.lanes import Lanes
from qda_worker.scheduling.observer import (
    CANCELLED_BY_CALLER,
    CANCELLED_BY_WORKER,
    DEADLINE_PASSED,
    Observer,
)
from qda_worker.scheduling.throughput import length_class


class QueueState(Generic[Payload, Output, Result]):
    """The jobs of one queue and their outcomes.

    Attributes:
        changed: the lock of all state here. Every change that the compute thread waits for notifies it.
        lanes: tokenized units that wait to be computed.
        waiting: number of admitted texts without an outcome.
        waiting_bytes: memory of all admitted jobs that are not done, in bytes.
        failure: why the model died; None while it lives.
        closing: whether the queue takes in nothing more.
    """

    def __init__(
        self,
        observer: Observer,
        budget: BatchBudget,
        clock: Callable[[], float],
        estimate: Estimate = lambda _: 0.0,
    ) -> None:
        self.changed = threading.Condition()
        self.lanes: Lanes[Payload, Output, Result] = Lanes(budget, estimate)
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
        """Whether no unit will ever have to be computed again. The caller must hold the lock."""
        return self.failure is not None or (self.closing and not self.waiting)

    def add_job(self, job: Job[Result]) -> None:
        """Add an admitted job. The caller must hold the lock."""
        self.waiting += job.open_texts
        self.waiting_bytes += job.bytes
        self.backlog.add(job.lane, job.caller, job.open_texts, job.bytes, job.open_costs)
        self._jobs.add(job)

    def remove_when_done(self, job: Job[Result]) -> None:
        """Arrange that the job is removed when its future is done, by a result, an error or a cancellation."""
        job.future.add_done_callback(lambda _: self._remove(job))

    def enqueue(self, items: Iterable[TextItem[Payload, Output, Result]]) -> None:
        """Put the units of tokenized texts into their lanes and wake up the compute thread.

        Leaves out texts whose job has ended meanwhile.
        """
        with self.changed:
            for item in items:
                if not item.done:
                    item.job.items[item.number] = item
                    self.lanes.add(item)
            self.changed.notify_all()

    def record_outcome(self, job: Job[Result], number: int, outcome: Outcome[Result]) -> None:
        """Record the outcome of one text, and of its duplicates, unless it has one. The last one completes the job.

        Args:
            job: the job of the text.
            number: position of the text in the job.
            outcome: its result or error.
        """
        duplicates = job.duplicates.get(number, ())
        shared = replace(outcome, timings=Timings(queue=outcome.timings.queue)) if duplicates else outcome
        with self.changed:
            if job.done or job.outcomes[number] is not None:
                return
            for each in (number, *duplicates):
                job.outcomes[each] = outcome if each == number else shared
                self._remove_text(job, each)
            job.open_texts -= 1 + len(duplicates)
            self.waiting -= 1 + len(duplicates)
            last = job.open_texts == 0
        for _ in range(1 + len(duplicates)):
            if isinstance(outcome, Failure):
                self._observer.on_outcome(outcome.error.reason, cut=False)
            else:
                self._observer.on_outcome("OK", cut=outcome.usage.cut)
        if last:
            self.complete(job)

    def _remove_text(self, job: Job[Result], number: int) -> None:
        """Give back what one text holds; of a text that failed, units may still wait."""
        cost = job.costs[number] if job.costs else 0
        if cost:
            job.open_costs[length_class(cost)] -= cost
        self.backlog.remove(job.lane, job.caller, 1, 0, {length_class(cost): cost})
        item = job.items.pop(number, None)
        if item is not None:
            self.lanes.remove(item)

    def complete(self, job: Job[Result]) -> None:
        """Set the result of a job whose texts all have an outcome."""
        if job.future.set_running_or_notify_cancel():
            job.future.set_result([outcome for outcome in job.outcomes if outcome is not None])

    def refuse(self, job: Job[Result], error: WorkerError) -> None:
        """End a whole job with an error instead of outcomes. Does nothing if the job is done."""
        with self.changed:
            if job.done:
                return
            left = self._release(job)
        if job.future.set_running_or_notify_cancel():
            self._observer.on_refused(error.reason, left)
            job.future.set_exception(error)
        else:
            self._observer.on_cancelled(self._cancellation_reason(job), left)

    def close(self) -> tuple[Job[Result], ...]:
        """Stop taking in jobs, and return those that are not done."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
            return tuple(self._jobs)

    def fail(self, reason: str) -> bool:
        """Record the death of the model: every waiting text gets ModelDied as its outcome.

        Returns:
            Whether the death was news.
        """
        with self.changed:
            if self.failure is not None:
                return False
            self.failure = reason
            jobs = tuple(self._jobs)
            self.lanes.clear()
            self.changed.notify_all()
        for job in jobs:
            for number in range(len(job.texts)):
                self.record_outcome(job, number, Failure(ModelDied(reason), Timings()))
        return True

    def _remove(self, job: Job[Result]) -> None:
        with self.changed:
            left = self._release(job)
            self._jobs.discard(job)
            self.changed.notify_all()
        if left and job.future.cancelled():
            self._observer.on_cancelled(self._cancellation_reason(job), left)

    def _cancellation_reason(self, job: Job[Result]) -> str:
        if job.is_expired(self._clock()):
            return DEADLINE_PASSED
        return CANCELLED_BY_WORKER if self.closing else CANCELLED_BY_CALLER

    def _release(self, job: Job[Result]) -> int:
        """Release what the job holds of limits and memory, and return how many of its texts had no outcome."""
        left, job.open_texts = job.open_texts, 0
        self.waiting -= left
        self.waiting_bytes -= job.bytes
        self.backlog.remove(job.lane, job.caller, left, job.bytes, job.open_costs)
        job.bytes, job.open_costs = 0, {}
        # Room is given back with the memory: units of an ended job would hold theirs until they are due.
        for item in job.items.values():
            self.lanes.remove(item)
        job.items.clear()
        return left
