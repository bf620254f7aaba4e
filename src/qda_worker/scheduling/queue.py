"""One queue and one compute thread for one model: what services hold of it.

A call's texts are admitted or refused at once (`intake`), tokenised by a pool of threads (`tokenising`), wait as units
in lanes (`lanes`), are computed in batches by the model's own thread (`computing`), and end in the `ledger`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Final, Generic

from qda_worker.errors import Draining
from qda_worker.models.base import ModelInfo, Options, Output, Payload, TextModel
from qda_worker.scheduling.admission import AdmissionControl
from qda_worker.scheduling.jobs import Job, Lane, Outcome, Result
from qda_worker.scheduling.observer import SILENT, Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator, text_cost
from qda_worker.scheduling.workers import ComputeThread, TokenizerPool

_LOG: Final = logging.getLogger(__name__)

# Texts that may wait for one model: five of the largest unary calls. Their ids take about the room of the
# texts.
CAPACITY: Final = 50_000

# Bytes of memory that these texts may take: sixteen of the largest messages in Latin letters, four where
# each has an emoji (Python then holds four bytes a character). For four models that is a GiB, beside five
# GiB of models; by number of texts alone, 50,000 of 1 MB would be 50 GB.
CAPACITY_BYTES: Final = 256 * 2**20


class ModelQueue(Generic[Payload, Output, Result]):
    """Answers texts with one model. Every method may be called from any thread, also from an event loop.

    pool: where texts are tokenised; may be shared by the queues of all models. on_failure: called once, with the
    reason, from the thread that noticed it, when the model can answer nothing any more. clock: seconds, monotonic.
    observer: hears of batches, waiting, refusals and cancelled texts.
    """

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        *,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[str], None] | None = None,
        observer: Observer = SILENT,
    ) -> None:
        self._model = model
        self._clock = clock
        self._on_failure = on_failure
        self._ledger: QueueState[Payload, Output, Result] = QueueState(observer, model.budget, clock)
        pace = ThroughputEstimator()
        self._intake = AdmissionControl(self._ledger, pace, capacity, capacity_bytes, clock, observer)
        self._tokenising = TokenizerPool(model, pool, self._ledger, clock)
        self._computing = ComputeThread(model, self._ledger, clock, pace, observer, self._fail)
        model.watch(self._fail)

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._model.info

    @property
    def failure(self) -> str | None:
        """Why the model can answer nothing any more; None while it can."""
        return self._ledger.failure

    @property
    def healthy(self) -> bool:
        """Whether the model can answer."""
        return self.failure is None

    @property
    def waiting(self) -> int:
        """Texts that were taken in and have no outcome yet."""
        return self._ledger.waiting

    def submit(
        self,
        texts: Sequence[str],
        options: Options | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
        caller: str = "",
    ) -> Future[list[Outcome[Result]]]:
        """Takes in all texts of a call, or none. Returns at once; cancelling the future drops what is not computed.

        deadline: by the queue's clock; what is not computed by then never is, and the future raises DeadlineTooShort.
        The future's list has one outcome a text, in their order; it raises Draining if the queue is closed meanwhile.
        caller: between callers, the model's time is shared. Raises QueueFull, DeadlineTooShort, Draining or ModelDied.
        """
        chosen, info = options or Options(), self._model.info
        costs = [text_cost(text, chosen, info) for text in texts]
        job: Job[Result] = Job(texts, chosen, lane, deadline, self._clock(), caller=caller, costs=costs)
        self._intake.admit(job)
        self._ledger.watch(job)
        if job.texts:
            self._tokenising.begin(job)
        else:
            self._ledger.complete(job)
        return job.future

    async def answer(
        self,
        texts: Sequence[str],
        options: Options | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
        caller: str = "",
    ) -> list[Outcome[Result]]:
        """`submit` for asyncio: cancelling the task drops what is not computed."""
        return await asyncio.wrap_future(
            self.submit(texts, options, lane=lane, deadline=deadline, caller=caller)
        )

    def close(self, *, drain: bool, timeout: float | None = None) -> bool:
        """Takes in nothing more, finishes what waits (`drain`) or refuses it with Draining, and ends the thread.

        Blocks for at most `timeout` seconds; False if the thread was still busy then. The model stays open: its owner
        closes it.
        """
        for job in self._ledger.close():
            if not drain:
                self._ledger.refuse(job, Draining("this worker is ending"))
        return self._computing.join(timeout)

    def _fail(self, reason: str) -> None:
        """The model is dead: nobody who waits is left without an outcome, and no more is taken in."""
        if not self._ledger.fail(reason):
            return
        _LOG.error("model %s answers nothing any more: %s", self._model.info.key, reason)
        if self._on_failure is not None:
            self._on_failure(reason)
