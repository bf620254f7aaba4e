"""From waiting units to outcomes: the model's own thread, which cuts a batch from what is there as soon as it is free.

There is no wait timer: a batch that waits for company is late whenever no company comes.

From texts to waiting units: in a pool of threads, so that no event loop ever waits for a tokenizer.

Calls take turns in the pool, a few texts each, so that a large call delays no other.

A model's exceptions as callers may see them: never with a foreign message, which may hold a text.
"""

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, ModelFailed, WorkerError
from qda_worker.models.base import Output, Payload, TextModel
from qda_worker.scheduling.batching import batch_cost
from qda_worker.scheduling.jobs import Answered, Entry, Failed, Item, Job, Outcome, Result, Timings
from qda_worker.scheduling.observer import Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator

_LOG: Final = logging.getLogger(__name__)


def told(error: Exception, key: str) -> WorkerError:
    """What the callers of the model `key` are told about an error."""
    if isinstance(error, WorkerError):
        return error
    _LOG.error("model %s raised %s over a text", key, type(error).__name__)
    trace(error)
    return ModelFailed(f"the model raised {type(error).__name__} over this text")


def trace(error: BaseException) -> None:
    """Logs where an error came from, without its message."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


# How the names of compute threads begin.
COMPUTING: Final = "compute-"


class ComputeThread(Generic[Payload, Output, Result]):
    """The compute thread of one model; runs from the start. on_death: called with the reason if the model dies."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        ledger: QueueState[Payload, Output, Result],
        clock: Callable[[], float],
        pace: ThroughputEstimator,
        observer: Observer,
        on_death: Callable[[str], None],
    ) -> None:
        self._model = model
        self._ledger = ledger
        self._clock = clock
        self._pace = pace
        self._observer = observer
        self._on_death = on_death
        self._thread = threading.Thread(target=self._run, name=COMPUTING + model.info.key, daemon=True)
        self._thread.start()

    def join(self, timeout: float | None) -> bool:
        """Waits for the thread's end, at most `timeout` seconds; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._compute(batch)
        except BaseException as error:  # noqa: BLE001  # whatever ends this thread ends the model's service
            trace(error)
            self._on_death(f"its compute thread ended by {type(error).__name__}")

    def _next_batch(self) -> list[Entry[Payload, Output, Result]] | None:
        """What to compute next, when there is something; None at the end."""
        ledger = self._ledger
        while True:
            with ledger.changed:
                batch, expired = ledger.lanes.take(self._clock())
                if not batch and not expired:
                    if ledger.finished:
                        return None
                    ledger.changed.wait()
            for job in expired:
                ledger.refuse(job, DeadlineTooShort("the deadline passed while the texts waited"))
            if batch:
                return batch

    def _compute(self, batch: Sequence[Entry[Payload, Output, Result]]) -> None:
        began = self._clock()
        try:
            outputs = self._model.compute([entry.unit for entry in batch])
            pairs = list(zip(batch, outputs, strict=True))
        except ModelDied as error:
            self._on_death(error.message)
            return
        except Exception as error:  # noqa: BLE001  # a batch's failure is no other text's
            self._compute_apart(batch, error)
            return
        seconds = self._clock() - began
        total = self._observe(batch, seconds)
        for entry, output in pairs:
            item = entry.item
            if not item.outputs:
                item.timings.queue = max(0.0, began - item.job.arrived - item.timings.tokenise)
                self._observer.on_queue_seconds(item.timings.queue)
            item.timings.compute += seconds * entry.unit.length / total if total else 0.0
            item.outputs[entry.place] = output
            if item.complete:
                self._finish(item)

    def _observe(self, batch: Sequence[Entry[Payload, Output, Result]], seconds: float) -> int:
        """Tells of a batch, and measures the pace by it; the sum of its lengths."""
        lengths, budget = [entry.unit.length for entry in batch], self._model.budget
        total, padded = sum(lengths), batch_cost(lengths, budget)
        if len(batch) * 2 >= budget.units or padded * 2 >= budget.length:
            self._pace.measure([entry.cost for entry in batch], seconds)
        self._observer.on_batch(len(batch), total, padded, seconds)
        return total

    def _compute_apart(self, batch: Sequence[Entry[Payload, Output, Result]], error: Exception) -> None:
        """Computes each unit of a failed batch by itself, so that only the bad one fails."""
        if len(batch) > 1:
            for entry in batch:
                if not entry.item.over:
                    self._compute([entry])
            return
        item = batch[0].item
        self._ledger.settle(item.job, item.number, Failed(told(error, self._model.info.key), item.timings))

    def _finish(self, item: Item[Payload, Output, Result]) -> None:
        outputs = [item.outputs[place] for place in range(len(item.prepared.units))]
        outcome: Outcome[Result]
        try:
            finished = self._model.finish(item.text, item.prepared, outputs)
            outcome = Answered(finished.answer, finished.usage, item.timings)
        except Exception as error:  # noqa: BLE001  # one text's failure is that text's outcome
            outcome = Failed(told(error, self._model.info.key), item.timings)
        self._ledger.settle(item.job, item.number, outcome)


# Texts that one turn in the pool tokenises; then the next call's turn comes.
TURN: Final = 32


class TokenizerPool(Generic[Payload, Output, Result]):
    """Prepares the texts of jobs. `pool` may be shared by the queues of all models."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        ledger: QueueState[Payload, Output, Result],
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
