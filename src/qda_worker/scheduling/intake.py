"""Whether a call's texts are taken in: all of them or none, decided at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, QueueFull, WorkerError
from qda_worker.scheduling.ledger import Ledger
from qda_worker.scheduling.observing import Observer
from qda_worker.scheduling.work import Job, Result


class Intake(Generic[Result]):
    """The door of one queue. capacity: texts that may wait."""

    def __init__(
        self, ledger: Ledger[Any, Any, Result], capacity: int, clock: Callable[[], float], observer: Observer
    ) -> None:
        self._ledger = ledger
        self._capacity = capacity
        self._clock = clock
        self._observer = observer

    def admit(self, job: Job[Result]) -> None:
        """Opens the job in the ledger. Raises QueueFull, DeadlineTooShort, Draining or ModelDied."""
        with self._ledger.changed:
            refusal = self._refusal(job)
            if refusal is None:
                self._ledger.open(job)
        if refusal is not None:
            self._observer.on_refused(refusal.reason, job.open)
            raise refusal

    def _refusal(self, job: Job[Result]) -> WorkerError | None:
        ledger = self._ledger
        if ledger.failure is not None:
            return ModelDied(ledger.failure)
        if ledger.closing:
            return Draining("this worker is ending")
        if job.expired(self._clock()):
            return DeadlineTooShort("the deadline has passed already")
        if ledger.waiting + job.open > self._capacity:
            return QueueFull(f"{ledger.waiting} texts wait, {job.open} more would exceed {self._capacity}")
        return None
