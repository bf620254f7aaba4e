"""Admission control: decides at once whether a call may enter the queue, all of its texts or none.

A call is refused for one of these reasons, in this order: the model died, the worker is shutting down, the deadline has
passed, the queue is full, or the work could not be done before the deadline. A refusal carries advice on when to retry.
It is computed from the backlog and the measured throughput, with random jitter so that callers refused together do not
return together. Without a measurement no call is refused for its deadline, and neither is a call that finds the queue
empty: its own batches correct an estimate that is too high.

Deadlines under overload: a queue in the order of arrival that is longer than the deadlines answers nothing in time,
because every call is reached when its time is over. So no call is admitted that is expected to be late. The expectation
is corrected by how long admitted calls took whose deadline was close (`EstimateCorrection`).

Admission runs in the thread that submits, usually the event loop, and holds the queue's lock for a few arithmetic
operations.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, QueueFull, WorkerError
from qda_worker.scheduling.estimate_correction import EstimateCorrection
from qda_worker.scheduling.jobs import Job, Lane, Result
from qda_worker.scheduling.observer import Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator

# Share of the queue's limits that one host may use; the rest is reserved for others. One name may use the same share of
# what its host may use.
MAX_CALLER_SHARE: Final = 0.8
# Share of the time until its deadline that a call may be expected to take: the rest is for its way back, and for what
# varies from one call to the next, by a fifth while the worker is overloaded, and more until that is corrected. At ten
# times its capacity a worker answered 0.62 of it in the first ten seconds and 0.82 in the next with a share of 0.9, and
# 0.84 and 0.90 with this one (XLM-R base, two cores).
_USABLE_SHARE: Final = 0.75
# Limits of the retry advice in seconds, before jitter.
_MIN_RETRY_SECONDS: Final = 0.1
_MAX_RETRY_SECONDS: Final = 60.0
# Retry advice in seconds while the throughput is unknown. Clients that retry by themselves try about five times in all.
_UNMEASURED_RETRY_SECONDS: Final = 2.0
# The limited resources, as messages name them.
_TEXTS: Final = "texts"
_RESOURCES: Final = (_TEXTS, "bytes of text")
# Upper limit of the jitter, as a fraction of the advice.
_JITTER: Final = 0.25


class AdmissionControl(Generic[Result]):
    """Admission control of one queue. The size limits do not apply to a call that finds the queue empty."""

    def __init__(
        self,
        state: QueueState[Any, Any, Result],
        throughput: ThroughputEstimator,
        capacity: int,
        capacity_bytes: int,
        clock: Callable[[], float],
        observer: Observer,
        random_fraction: Callable[[], float] = random.random,
    ) -> None:
        """Create the admission control.

        Args:
            state: the queue's shared state.
            throughput: estimates of the compute time.
            capacity: maximum number of waiting texts.
            capacity_bytes: maximum memory of waiting texts, in bytes.
            clock: monotonic seconds.
            observer: receives refusals.
            random_fraction: returns a random number in [0, 1) for the jitter.
        """
        self._state = state
        self._throughput = throughput
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._observer = observer
        self._random_fraction = random_fraction
        # One for each lane: interactive work delays bulk work, which says nothing about interactive work itself.
        self._corrections = {lane: EstimateCorrection(clock) for lane in Lane}

    def admit(self, job: Job[Result]) -> None:
        """Add the job to the queue's state, or refuse it.

        Raises:
            QueueFull: when the queue, or the caller's share of it, has no room for the whole call.
            DeadlineTooShort: when the deadline has passed or cannot be met.
            Draining: when the queue is closed.
            ModelDied: when the model cannot compute any more.
        """
        with self._state.changed:
            refusal = self._refusal(job)
            if refusal is None:
                if job.deadline is not None and self._throughput.recent:
                    job.expected = self._seconds_until_done(job)
                self._state.add_job(job)
        if refusal is not None:
            self._observer.on_refused(refusal.reason, job.open_texts)
            raise refusal
        if job.expected:
            job.future.add_done_callback(lambda _: self._record_end(job))

    def _record_end(self, job: Job[Result]) -> None:
        """Learn from the end of a job how long work takes in proportion to what was expected."""
        if job.deadline is None:
            return
        allowed, elapsed = job.deadline - job.arrival, self._clock() - job.arrival
        future = job.future
        late = job.is_expired(self._clock()) or (
            not future.cancelled() and isinstance(future.exception(), DeadlineTooShort)
        )
        if not late and (future.cancelled() or future.exception() is not None):
            return  # it says nothing about the time that its work takes
        with self._state.changed:
            self._corrections[job.lane].record(
                job.expected, max(elapsed, allowed) if late else elapsed, allowed, late=late
            )

    def _refusal(self, job: Job[Result]) -> WorkerError | None:
        state, now = self._state, self._clock()
        if state.failure is not None:
            return ModelDied(state.failure)
        if state.closing:
            return Draining("this worker is shutting down")
        if job.is_expired(now):
            return DeadlineTooShort("the deadline has already passed")
        return self._check_room(job) or self._check_deadline(job, now)

    def _check_room(self, job: Job[Result]) -> QueueFull | None:
        for what, whose, held, more, limit in self._limits(job):
            if held and held + more > limit:
                to_go = min(held + more - limit, held) / self._waiting(what)
                its = "its " if whose else ""
                return QueueFull(
                    f"{held} {what}{whose} wait, {more} more would exceed {its}{limit}",
                    retry_after=self._room_advice(to_go),
                )
        return None

    def _limits(self, job: Job[Result]) -> Iterator[tuple[str, str, int, int, int]]:
        """Yield the limits for a job: resource, whose limit, held already, needed by the job, limit."""
        backlog, caller = self._state.backlog, job.caller
        hosts, names = backlog.host_load(caller.host), backlog.caller_load(caller)
        needed, limits = (job.open_texts, job.bytes), (self._capacity, self._capacity_bytes)
        for what, more, limit, host, name in zip(_RESOURCES, needed, limits, hosts, names, strict=True):
            share = int(limit * MAX_CALLER_SHARE)
            yield what, "", self._waiting(what), more, limit
            if caller.name:
                yield what, " of this host", host, more, share
                yield what, " of this caller", name, more, int(share * MAX_CALLER_SHARE)
            else:
                yield what, " of this caller", host, more, share

    def _waiting(self, what: str) -> int:
        return self._state.waiting if what == _TEXTS else self._state.waiting_bytes

    def _room_advice(self, share_to_go: float) -> float:
        """Return when a share of the waiting work will be done, in seconds.

        An estimate without recent samples has decayed, and is no reason to come back at once.
        """
        seconds = self._throughput.estimate_seconds(self._state.backlog.total.costs) * share_to_go
        return self._retry_after(
            seconds if self._throughput.recent else max(seconds, _UNMEASURED_RETRY_SECONDS)
        )

    def _check_deadline(self, job: Job[Result], now: float) -> DeadlineTooShort | None:
        if job.deadline is None or not self._state.waiting:
            return None
        left = job.deadline - now
        expected = self._seconds_until_done(job) * self._corrections[job.lane].factor
        if expected <= left * _USABLE_SHARE:
            return None
        return DeadlineTooShort(
            f"{job.open_texts} texts would be answered in about {expected:.1f} s, "
            f"which is more than three quarters of the {left:.1f} s until the deadline",
            retry_after=self._retry_after(
                max(self._throughput.estimate_seconds(job.open_costs), expected - left)
            ),
        )

    def _seconds_until_done(self, job: Job[Result]) -> float:
        return self._state.backlog.seconds_until_done(job, self._throughput.estimate_seconds)

    def _retry_after(self, seconds: float) -> float:
        clamped = min(max(seconds, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS)
        return clamped * (1 + _JITTER * self._random_fraction())
