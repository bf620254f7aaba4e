"""From texts to waiting units: in a pool of threads, so that no event loop ever waits for a tokenizer.

Calls take turns in the pool, a few texts each, so that a large call delays no other.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining
from qda_worker.models.base import Output, Payload, TextModel
from qda_worker.scheduling.failures import told
from qda_worker.scheduling.ledger import Ledger
from qda_worker.scheduling.work import Failed, Item, Job, Result, Timings

TURN: Final = 32
"""Texts that one turn in the pool tokenises; then the next call's turn comes."""


class Tokenising(Generic[Payload, Output, Result]):
    """Prepares the texts of jobs. `pool` may be shared by the queues of all models."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        ledger: Ledger[Payload, Output, Result],
        clock: Callable[[], float],
    ) -> None:
        self._model = model
        self._pool = pool
        self._ledger = ledger
        self._clock = clock

    def begin(self, job: Job[Result]) -> None:
        """Puts a job into the pool; returns at once."""
        self._hand_over(job, 0)

    def _hand_over(self, job: Job[Result], start: int) -> None:
        try:
            self._pool.submit(self._turn, job, start)
        except RuntimeError:  # the pool was shut down: the worker is ending
            self._ledger.refuse(job, Draining("this worker is ending"))

    def _turn(self, job: Job[Result], start: int) -> None:
        stop = min(start + TURN, len(job.texts))
        for number in range(start, stop):
            if job.over:
                return
            if job.expired(self._clock()):
                self._ledger.refuse(
                    job, DeadlineTooShort("the deadline passed before the texts were tokenised")
                )
                return
            self._prepare(job, number)
        if stop < len(job.texts):
            self._hand_over(job, stop)

    def _prepare(self, job: Job[Result], number: int) -> None:
        began = self._clock()
        timings = Timings()
        try:
            prepared = self._model.prepare(job.texts[number], job.options)
        except Exception as error:  # noqa: BLE001  # one text's failure is that text's outcome
            timings.tokenise = self._clock() - began
            self._ledger.settle(job, number, Failed(told(error, self._model.info.key), timings))
            return
        timings.tokenise = self._clock() - began
        self._ledger.add_units(Item(job, number, prepared, timings))
