"""Admission control: decides at once whether a call may enter the queue, all of its texts or none.

A call is refused for one of these reasons, in this order: the model died, the worker is shutting down, the deadline has
passed, the queue is full, or the work could not be done before the deadline. A refusal carries advice on when to retry.
It is computed from the backlog and the measured throughput, with random jitter so that callers refused together do not
return together. Without a measurement no call is refused for its deadline.

Admission runs in the thread that submits, usually the event loop, and holds the queue's lock for a few arithmetic
operations.
"""

import random
from collections.abc import Callable
from typing import Any, Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, QueueFull, WorkerError
from qda_worker.scheduling.jobs import Job, Result
from qda_worker.scheduling.observer import Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator

# Share of the queue's limits that one caller may use; the rest is reserved for others.
MAX_CALLER_SHARE: Final = 0.8
# Work is refused only if it would be late even at this many times the measured throughput.
_DEADLINE_TOLERANCE: Final = 2.0
# Limits of the retry advice in seconds, before jitter.
_MIN_RETRY_SECONDS: Final = 0.1
_MAX_RETRY_SECONDS: Final = 60.0
# Retry advice in seconds while the throughput is unknown. Clients that retry by themselves try about five times in all.
_UNMEASURED_RETRY_SECONDS: Final = 2.0
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

    def admit(self, job: Job[Result]) -> None:
        """Add the job to the queue's state, or refuse it.

        Raises:
            QueueFull: when the queue, or the caller's share of it, has no room for the whole call.
            DeadlineTooShort: when the deadline has passed or cannot be met.
            Draining: when the queue is closed.
            ModelDied: when the model cannot compute any more.
        """
        seconds = self._throughput.estimate_seconds(job.costs)
        job.seconds_per_text = seconds / job.open_texts if job.open_texts else 0.0
        with self._state.changed:
            refusal = self._refusal(job, seconds)
            if refusal is None:
                self._state.add_job(job)
        if refusal is not None:
            self._observer.on_refused(refusal.reason, job.open_texts)
            raise refusal

    def _refusal(self, job: Job[Result], seconds: float) -> WorkerError | None:
        state, now = self._state, self._clock()
        if state.failure is not None:
            return ModelDied(state.failure)
        if state.closing:
            return Draining("this worker is shutting down")
        if job.is_expired(now):
            return DeadlineTooShort("the deadline has already passed")
        return self._check_room(job) or self._check_deadline(job, seconds, now)

    def _check_room(self, job: Job[Result]) -> QueueFull | None:
        state, caller = self._state, job.caller
        backlog = state.backlog
        excess = _excess(
            "texts", job.open_texts, state.waiting, backlog.caller_texts(caller), self._capacity
        ) or _excess(
            "bytes of text",
            job.bytes,
            state.waiting_bytes,
            backlog.caller_bytes(caller),
            self._capacity_bytes,
        )
        if excess is None:
            return None
        message, share_to_go = excess
        # Jobs admitted before the first measurement count 0 seconds in the backlog. Assume that they take as long per
        # text as this job does.
        seconds = backlog.seconds or job.seconds_per_text * state.waiting
        return QueueFull(
            message, retry_after=self._retry_after(seconds * share_to_go or _UNMEASURED_RETRY_SECONDS)
        )

    def _check_deadline(self, job: Job[Result], seconds: float, now: float) -> DeadlineTooShort | None:
        if job.deadline is None:
            return None
        left = job.deadline - now
        expected = self._state.backlog.seconds_until_done(job, seconds)
        if expected <= left * _DEADLINE_TOLERANCE:
            return None
        return DeadlineTooShort(
            f"{job.open_texts} texts would be answered in about {expected:.1f} s, "
            f"and the deadline is in {left:.1f} s",
            retry_after=self._retry_after(max(seconds, expected - left)),
        )

    def _retry_after(self, seconds: float) -> float:
        clamped = min(max(seconds, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS)
        return clamped * (1 + _JITTER * self._random_fraction())


def _excess(what: str, more: int, waiting: int, own: int, limit: int) -> tuple[str, float] | None:
    """Check a limit for a call that needs `more` of it.

    Args:
        what: name of the limited resource, for the message.
        more: what the call needs.
        waiting: what all callers use.
        own: what the same caller uses.
        limit: the queue's limit.

    Returns:
        None if the call fits. Otherwise the error message, and the share of the waiting work that has to be done before
        the call fits, from 0 to 1.
    """
    share = int(limit * MAX_CALLER_SHARE)
    if waiting and waiting + more > limit:
        over, message = waiting + more - limit, f"{waiting} {what} wait, {more} more would exceed {limit}"
    elif own and own + more > share:
        over = own + more - share
        message = f"{own} {what} of this caller wait, {more} more would exceed its {share}"
    else:
        return None
    return message, min(over, waiting) / waiting
