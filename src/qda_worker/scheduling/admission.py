"""Whether a call's texts are taken in: all of them or none, decided at once and with advice on when to come again.

What is refused for its deadline could not have been done by then: see `pace`. Without a measurement nothing is.
"""

import random
from collections.abc import Callable
from typing import Any, Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, QueueFull, WorkerError
from qda_worker.scheduling.jobs import Job, Result
from qda_worker.scheduling.observer import Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator

# So much of the queue one caller may fill: the rest is kept for the others.
ONE_CALLERS_SHARE: Final = 0.8
# Work is refused only if it would be late even so many times as fast as measured.
_DOUBT: Final = 2.0
# Seconds that a refused caller is told to wait, before they are scattered.
_SHORTEST, _LONGEST = 0.1, 60.0
# The same, as long as the pace is not known: clients that retry by themselves try some five times in all.
_UNMEASURED: Final = 2.0
# Up to so much is added at random, so that those who were refused together do not come back together.
_SCATTER: Final = 0.25


class AdmissionControl(Generic[Result]):
    """The door of one queue. capacity, capacity_bytes: texts that may wait, and bytes of memory that they may take; a
    call that finds the queue empty is always let in. chance: a random number from 0 to 1.
    """

    def __init__(
        self,
        ledger: QueueState[Any, Any, Result],
        pace: ThroughputEstimator,
        capacity: int,
        capacity_bytes: int,
        clock: Callable[[], float],
        observer: Observer,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._observer = observer
        self._chance = chance

    def admit(self, job: Job[Result]) -> None:
        """Opens the job in the ledger. Raises QueueFull, DeadlineTooShort, Draining or ModelDied."""
        seconds = self._pace.seconds(job.costs)
        job.seconds_each = seconds / job.open if job.open else 0.0
        with self._ledger.changed:
            refusal = self._refusal(job, seconds)
            if refusal is None:
                self._ledger.open(job)
        if refusal is not None:
            self._observer.on_refused(refusal.reason, job.open)
            raise refusal

    def _refusal(self, job: Job[Result], seconds: float) -> WorkerError | None:
        ledger, now = self._ledger, self._clock()
        if ledger.failure is not None:
            return ModelDied(ledger.failure)
        if ledger.closing:
            return Draining("this worker is ending")
        if job.expired(now):
            return DeadlineTooShort("the deadline has passed already")
        return self._no_room(job) or self._no_time(job, seconds, now)

    def _no_room(self, job: Job[Result]) -> QueueFull | None:
        ledger, caller = self._ledger, job.caller
        own = ledger.backlog.texts_of(caller), ledger.backlog.bytes_of(caller)
        found = _excess("texts", job.open, ledger.waiting, own[0], self._capacity) or _excess(
            "bytes of text", job.bytes, ledger.waiting_bytes, own[1], self._capacity_bytes
        )
        if found is None:
            return None
        told, share_to_go = found
        # What was taken in before anything was measured counts as nothing in the backlog: it is priced as this job is.
        seconds = ledger.backlog.seconds or job.seconds_each * ledger.waiting
        return QueueFull(told, retry_after=self._advice(seconds * share_to_go or _UNMEASURED))

    def _no_time(self, job: Job[Result], seconds: float, now: float) -> DeadlineTooShort | None:
        if job.deadline is None:
            return None
        left = job.deadline - now
        expected = self._ledger.backlog.seconds_until_done(job, seconds)
        if expected <= left * _DOUBT:
            return None
        return DeadlineTooShort(
            f"{job.open} texts would be answered in about {expected:.1f} s, and the deadline is in {left:.1f} s",
            retry_after=self._advice(max(seconds, expected - left)),
        )

    def _advice(self, seconds: float) -> float:
        return min(max(seconds, _SHORTEST), _LONGEST) * (1 + _SCATTER * self._chance())


def _excess(what: str, more: int, waiting: int, own: int, limit: int) -> tuple[str, float] | None:
    """Why there is no room for `more`, and how much of what waits must go first, from 0 to 1; None if there is room.

    own: what waits of the same caller.
    """
    share = int(limit * ONE_CALLERS_SHARE)
    if waiting and waiting + more > limit:
        over, told = waiting + more - limit, f"{waiting} {what} wait, {more} more would exceed {limit}"
    elif own and own + more > share:
        over = own + more - share
        told = f"{own} {what} of this caller wait, {more} more would exceed its {share}"
    else:
        return None
    return told, min(over, waiting) / waiting
