"""One queue and one compute thread for one model.

A call's texts are tokenised by a pool of threads, so no event loop ever waits for a tokenizer; their units wait in
lanes; the model's own thread cuts a batch from what is there as soon as it is free. There is no wait timer: a batch
that waits for company is late whenever no company comes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, ModelFailed, QueueFull, WorkerError
from qda_worker.models.base import ModelInfo, Options, Output, Payload, TextModel
from qda_worker.scheduling.lanes import Lanes
from qda_worker.scheduling.work import Answered, Entry, Failed, Item, Job, Lane, Outcome, Result, Timings

_LOG = logging.getLogger(__name__)

CAPACITY = 50_000
"""Texts that may wait for one model: five of the largest unary calls. Their ids take about the room of the texts."""
_CHUNK = 32
"""Texts that one turn in the pool tokenises; then the next call's turn comes, so that a large one delays no other."""


class ModelQueue(Generic[Payload, Output, Result]):
    """Answers texts with one model. Every method may be called from any thread, also from an event loop.

    pool: where texts are tokenised; may be shared by the queues of all models. on_failure: called once, with the
    reason, from the thread that noticed it, when the model can answer nothing any more. clock: seconds, monotonic.
    """

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        *,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self._model = model
        self._pool = pool
        self._capacity = capacity
        self._clock = clock
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._lanes: Lanes[Payload, Output, Result] = Lanes()
        self._jobs: set[Job[Result]] = set()
        self._waiting = 0
        self._failure: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"compute-{model.info.key}", daemon=True)
        self._thread.start()
        model.watch(self._fail)

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._model.info

    @property
    def failure(self) -> str | None:
        """Why the model can answer nothing any more; None while it can."""
        return self._failure

    @property
    def healthy(self) -> bool:
        """Whether the model can answer."""
        return self._failure is None

    @property
    def waiting(self) -> int:
        """Texts that were taken in and have no outcome yet."""
        return self._waiting

    def submit(
        self,
        texts: Sequence[str],
        options: Options | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
    ) -> Future[list[Outcome[Result]]]:
        """Takes in all texts of a call, or none. Returns at once; cancelling the future drops what is not computed.

        deadline: by the queue's clock; what is not computed by then never is, and the future raises DeadlineTooShort.
        The future's list has one outcome a text, in their order; it raises Draining if the queue is closed meanwhile.
        Raises QueueFull, DeadlineTooShort, Draining or ModelDied.
        """
        job: Job[Result] = Job(texts, options or Options(), lane, deadline, self._clock())
        with self._changed:
            self._admit(job)
        job.future.add_done_callback(lambda _: self._forget(job))
        if job.texts:
            self._hand_over(job, 0)
        else:
            self._complete(job)
        return job.future

    async def answer(
        self,
        texts: Sequence[str],
        options: Options | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
    ) -> list[Outcome[Result]]:
        """`submit` for asyncio: cancelling the task drops what is not computed."""
        return await asyncio.wrap_future(self.submit(texts, options, lane=lane, deadline=deadline))

    def close(self, *, drain: bool, timeout: float | None = None) -> bool:
        """Takes in nothing more, finishes what waits (`drain`) or refuses it with Draining, and ends the thread.

        Blocks for at most `timeout` seconds; False if the thread was still busy then. The model stays open: its owner
        closes it.
        """
        with self._changed:
            self._closing = True
            jobs = [] if drain else list(self._jobs)
            self._changed.notify_all()
        for job in jobs:
            self._refuse(job, Draining("this worker is ending"))
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _admit(self, job: Job[Result]) -> None:
        if self._failure is not None:
            raise ModelDied(self._failure)
        if self._closing:
            raise Draining("this worker is ending")
        if job.expired(self._clock()):
            raise DeadlineTooShort("the deadline has passed already")
        if self._waiting + job.open > self._capacity:
            raise QueueFull(f"{self._waiting} texts wait, {job.open} more would exceed {self._capacity}")
        self._waiting += job.open
        self._jobs.add(job)

    # In the pool: from texts to waiting units.

    def _prepare(self, job: Job[Result], start: int) -> None:
        stop = min(start + _CHUNK, len(job.texts))
        for number in range(start, stop):
            if job.over:
                return
            if job.expired(self._clock()):
                self._refuse(job, DeadlineTooShort("the deadline passed before the texts were tokenised"))
                return
            self._prepare_one(job, number)
        if stop < len(job.texts):
            self._hand_over(job, stop)

    def _hand_over(self, job: Job[Result], start: int) -> None:
        try:
            self._pool.submit(self._prepare, job, start)
        except RuntimeError:  # the pool was shut down: the worker is ending
            self._refuse(job, Draining("this worker is ending"))

    def _prepare_one(self, job: Job[Result], number: int) -> None:
        began = self._clock()
        timings = Timings()
        try:
            prepared = self._model.prepare(job.texts[number], job.options)
        except Exception as error:  # noqa: BLE001  # one text's failure is that text's outcome
            timings.tokenise = self._clock() - began
            self._settle(job, number, Failed(self._told(error), timings))
            return
        timings.tokenise = self._clock() - began
        item: Item[Payload, Output, Result] = Item(job, number, prepared, timings)
        with self._changed:
            for place in range(len(prepared.units)):
                self._lanes.add(Entry(item, place, job.arrived))
            self._changed.notify_all()

    # In the compute thread: from waiting units to outcomes.

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._compute(batch)
        except BaseException as error:  # noqa: BLE001  # whatever ends this thread ends the model's service
            _trace(error)
            self._fail(f"its compute thread ended by {type(error).__name__}")

    def _next_batch(self) -> list[Entry[Payload, Output, Result]] | None:
        while True:
            with self._changed:
                batch, expired = self._lanes.take(self._clock(), self._model.budget)
                if not batch and not expired:
                    if self._failure is not None or (self._closing and not self._waiting):
                        return None
                    self._changed.wait()
            for job in expired:
                self._refuse(job, DeadlineTooShort("the deadline passed while the texts waited"))
            if batch:
                return batch

    def _compute(self, batch: Sequence[Entry[Payload, Output, Result]]) -> None:
        began = self._clock()
        try:
            outputs = self._model.compute([entry.unit for entry in batch])
            pairs = list(zip(batch, outputs, strict=True))
        except ModelDied as error:
            self._fail(error.message)
            return
        except Exception as error:  # noqa: BLE001  # a batch's failure is no other text's
            self._compute_apart(batch, error)
            return
        seconds = self._clock() - began
        total = sum(entry.unit.length for entry in batch)
        for entry, output in pairs:
            item = entry.item
            if not item.outputs:
                item.timings.queue = max(0.0, began - item.job.arrived - item.timings.tokenise)
            item.timings.compute += seconds * entry.unit.length / total if total else 0.0
            item.outputs[entry.place] = output
            if item.complete:
                self._finish(item)

    def _compute_apart(self, batch: Sequence[Entry[Payload, Output, Result]], error: Exception) -> None:
        """Computes each unit of a failed batch by itself, so that only the bad one fails."""
        if len(batch) > 1:
            for entry in batch:
                if not entry.item.over:
                    self._compute([entry])
            return
        item = batch[0].item
        self._settle(item.job, item.number, Failed(self._told(error), item.timings))

    def _finish(self, item: Item[Payload, Output, Result]) -> None:
        outputs = [item.outputs[place] for place in range(len(item.prepared.units))]
        outcome: Outcome[Result]
        try:
            finished = self._model.finish(item.text, item.prepared, outputs)
            outcome = Answered(finished.answer, finished.usage, item.timings)
        except Exception as error:  # noqa: BLE001  # one text's failure is that text's outcome
            outcome = Failed(self._told(error), item.timings)
        self._settle(item.job, item.number, outcome)

    def _told(self, error: Exception) -> WorkerError:
        """The error as its caller may see it: never with a foreign message, which may hold a text."""
        if isinstance(error, WorkerError):
            return error
        _LOG.error("model %s raised %s over a text", self._model.info.key, type(error).__name__)
        _trace(error)
        return ModelFailed(f"the model raised {type(error).__name__} over this text")

    # Outcomes.

    def _settle(self, job: Job[Result], number: int, outcome: Outcome[Result]) -> None:
        with self._changed:
            if job.over or job.outcomes[number] is not None:
                return
            job.outcomes[number] = outcome
            job.open -= 1
            self._waiting -= 1
            last = job.open == 0
        if last:
            self._complete(job)

    def _complete(self, job: Job[Result]) -> None:
        if job.future.set_running_or_notify_cancel():
            job.future.set_result([outcome for outcome in job.outcomes if outcome is not None])

    def _refuse(self, job: Job[Result], error: WorkerError) -> None:
        """Ends a whole job without an answer."""
        with self._changed:
            if job.over:
                return
            self._release(job)
        if job.future.set_running_or_notify_cancel():
            job.future.set_exception(error)

    def _forget(self, job: Job[Result]) -> None:
        """When the future is done, also by being cancelled: its texts wait no longer."""
        with self._changed:
            self._release(job)
            self._jobs.discard(job)
            self._changed.notify_all()

    def _release(self, job: Job[Result]) -> None:
        self._waiting -= job.open
        job.open = 0

    def _fail(self, reason: str) -> None:
        """The model is dead: every text that waits has that as its outcome, and no more are taken in."""
        with self._changed:
            if self._failure is not None:
                return
            self._failure = reason
            jobs = list(self._jobs)
            self._lanes.clear()
            self._changed.notify_all()
        _LOG.error("model %s answers nothing any more: %s", self._model.info.key, reason)
        for job in jobs:
            for number in range(len(job.texts)):
                self._settle(job, number, Failed(ModelDied(reason), Timings()))
        if self._on_failure is not None:
            self._on_failure(reason)


def _trace(error: BaseException) -> None:
    """Where an error came from, without its message, which may hold a text."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
