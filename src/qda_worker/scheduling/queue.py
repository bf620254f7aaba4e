"""The queue of one model: all steps of a text from submission to result.

Steps of a text:

1. Submit. The event loop (or any thread) calls `ModelQueue.submit` with all texts of a call. `AdmissionControl` admits
   or refuses the whole call at once, without blocking. The admitted call is a `Job` with a future.
2. Tokenize. Threads of two shared pools (`TokenizerPool`) take the steps of `model.prepare_steps` for each text. Jobs
   take turns, bounded in texts and characters. A text becomes a `TextItem` with one unit per window.
3. Wait. The units wait in one of two `Lanes`, interactive or bulk, shared fairly between callers.
4. Batch. When the compute thread is free, it takes the unit that is due next and others: as many neighbours in length
   as pay (`batching.select_batch`), or what is due after it (`Lanes`), up to the model's `BatchBudget`. There is no
   batching delay. Of equal texts of a call one is tokenized and computed; of equal units of several calls that a batch
   is chosen from, one is computed.
5. Compute. The compute thread (`ComputeThread`, one per model) runs `model.compute` on the batch.
6. Finish. When all units of a text are computed, the same thread runs `model.finish` and records the `Outcome`. The
   last outcome of a job sets the result of the future, in the order of the texts.

Threads and locks: all shared state is in `QueueState` under one lock, the condition `QueueState.changed`. It is held
for bookkeeping only, never while a model works, while an observer is called or while a future is completed. The compute
thread waits on the condition; new units, ended jobs, `close` and the death of the model notify it. Callbacks of the
future run in the thread that completes it; `answer` hands the result to the event loop.

Failure: the error of a text, from `prepare_steps`, `compute` or `finish`, is the outcome of that text alone. If a batch
raises, its units are computed again one by one; so are those of a batch that the model's process did not survive
(`BatchLost`), and a text that ends the process again fails. If the model dies (`ModelDied`, the end of its compute
thread, or a report by `model.watch`), every waiting text gets `ModelDied` as its outcome, later calls are refused, and
`on_failure` is called once. A job whose deadline passes ends with `DeadlineTooShort` as soon as the tokenizer or the
compute thread meets it; computed outcomes of such a job are lost. Cancelling the future ends the job; its units leave
the lanes uncomputed, but a batch that is running is not interrupted.

Shutdown: after `close` no call is admitted. With `drain=True` the waiting jobs are finished, otherwise they end with
`Draining`. The compute thread ends when nothing waits, or at once when the model is dead. It is a daemon thread, so a
batch that hangs does not keep the process alive. The owner of the queue closes the model afterwards.

Design: admission by measured throughput is load shedding, the lanes are start-time fair queuing, and batches are formed
from what is waiting, as in the dynamic batching of inference servers such as Triton and Infinity.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from itertools import chain
from typing import Final, Generic

from qda_worker.errors import Draining
from qda_worker.models.base import ModelInfo, Options, Output, Payload, TextModel
from qda_worker.scheduling.admission import AdmissionControl
from qda_worker.scheduling.jobs import Caller, Job, Lane, Outcome, PreparedAhead, Result, find_duplicates
from qda_worker.scheduling.observer import NULL_OBSERVER, Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator, sum_by_class, text_cost
from qda_worker.scheduling.tokenizer_pool import TokenizerPool
from qda_worker.scheduling.turns import ComputeTurns
from qda_worker.scheduling.workers import BatchProgress, ComputeThread

# Maximum number of texts that wait for one model: five of the largest unary calls. Their token ids take about as much
# memory as the texts.
CAPACITY: Final = 50_000

# Maximum memory of these texts in bytes: sixteen of the largest messages in Latin letters, or four if every text has an
# emoji (Python then stores four bytes per character). For four models that is 1 GiB beside 5 GiB of weights. A limit on
# the number of texts alone would allow 50,000 texts of 1 MB, which is 50 GB.
CAPACITY_BYTES: Final = 256 * 2**20

_LOG: Final = logging.getLogger(__name__)


class ModelQueue(Generic[Payload, Output, Result]):
    """Computes texts with one model. Every method may be called from any thread, including an event loop."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        *,
        long_pool: Executor | None = None,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[str], None] | None = None,
        observer: Observer = NULL_OBSERVER,
        turns: ComputeTurns | None = None,
    ) -> None:
        """Create the queue and start its compute thread.

        Args:
            model: the loaded model. The queue does not close it.
            pool: executor for tokenization; the queues of all models may share it.
            long_pool: executor for the tokenization of long texts and large calls; None for `pool`.
            capacity: maximum number of waiting texts.
            capacity_bytes: maximum memory of waiting texts, in bytes.
            clock: monotonic seconds.
            on_failure: called once with the reason, from the thread that noticed it, if the model dies.
            observer: receives batches, queue times, outcomes, refusals and cancellations.
            turns: those of all models that share the CPUs; None for a model that shares them with none.
        """
        self._model = model
        self._clock = clock
        self._on_failure = on_failure
        throughput = ThroughputEstimator(clock)
        self._state: QueueState[Payload, Output, Result] = QueueState(
            observer, model.budget, clock, throughput.estimate_seconds
        )
        self._admission = AdmissionControl(self._state, throughput, capacity, capacity_bytes, clock, observer)
        self._tokenizers = TokenizerPool(model, pool, long_pool or pool, self._state, clock)
        self._compute_thread = ComputeThread(
            model, self._state, clock, throughput, observer, self._fail, turns or ComputeTurns()
        )
        model.watch(self._fail)

    @property
    def info(self) -> ModelInfo:
        """Static facts about the model."""
        return self._model.info

    @property
    def failure(self) -> str | None:
        """Reason why the model cannot compute any more; None while it can."""
        return self._state.failure

    @property
    def healthy(self) -> bool:
        """Whether the model can compute."""
        return self.failure is None

    @property
    def waiting(self) -> int:
        """Number of admitted texts without an outcome."""
        return self._state.waiting

    def batch_progress(self) -> BatchProgress | None:
        """Return how the batch that the model computes gets on; None if it is idle."""
        return self._compute_thread.progress()

    def submit(
        self,
        texts: Sequence[str],
        options: Options | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
        caller: Caller | str = "",
        prepared: Sequence[PreparedAhead] = (),
    ) -> Future[list[Outcome[Result]]]:
        """Admit all texts of a call, or none, and return at once.

        Args:
            texts: the texts of the call.
            options: options for every text; None for the defaults.
            lane: priority class.
            deadline: the deadline in seconds of the queue's clock. What is not computed by then never will be.
            caller: whom the model's time is shared between; a string is the host of a caller without a name.
            prepared: what `prepare_ahead` returned for each text; empty if the queue is to prepare them.

        Returns:
            A future of one outcome per text, in their order. It raises DeadlineTooShort when the deadline passes first,
            and Draining when the queue is closed without a drain. Cancelling it drops what is not computed.

        Raises:
            QueueFull: when the queue, or the caller's share of it, has no room for the whole call.
            DeadlineTooShort: when the deadline has passed or cannot be met.
            Draining: when the queue is closed.
            ModelDied: when the model cannot compute any more.
        """
        chosen, info = options or Options(), self._model.info
        costs = [text_cost(text, chosen, info) for text in texts]
        duplicates = find_duplicates(texts)
        for number in chain.from_iterable(duplicates.values()):
            costs[number] = 0
        job: Job[Result] = Job(
            texts, chosen, lane, deadline, self._clock(),
            caller=caller, costs=costs, open_costs=sum_by_class(costs), duplicates=duplicates, prepared=prepared,
        )  # fmt: skip
        self._admission.admit(job)
        self._state.remove_when_done(job)
        if job.texts:
            self._tokenizers.submit(job)
        else:
            self._state.complete(job)
        return job.future

    async def answer(
        self,
        texts: Sequence[str],
        options: Options | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline: float | None = None,
        caller: Caller | str = "",
        prepared: Sequence[PreparedAhead] = (),
    ) -> list[Outcome[Result]]:
        """Submit texts and wait for their outcomes. Cancelling the task drops what is not computed.

        Arguments, result and errors are those of `submit`.
        """
        return await asyncio.wrap_future(
            self.submit(texts, options, lane=lane, deadline=deadline, caller=caller, prepared=prepared)
        )

    def close(self, *, drain: bool, timeout: float | None = None) -> bool:
        """Stop admitting calls, end the waiting ones, and wait for the compute thread.

        Args:
            drain: True to finish what waits, False to end it with Draining.
            timeout: maximum wait in seconds; None waits without limit.

        Returns:
            Whether the compute thread has ended. The model stays open; its owner closes it.
        """
        for job in self._state.close():
            if not drain:
                self._state.refuse(job, Draining("this worker is shutting down"))
        return self._compute_thread.join(timeout)

    def _fail(self, reason: str) -> None:
        """Record the death of the model, give every waiting text its outcome, and report it once."""
        if not self._state.fail(reason):
            return
        _LOG.error("model %s has died: %s", self._model.info.key, reason)
        if self._on_failure is not None:
            self._on_failure(reason)
