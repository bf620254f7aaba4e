"""The threads that process a queue: the tokenizer pool and the compute thread.

`TokenizerPool` turns the texts of jobs into waiting units. It runs in two executors, which the queues of all models
share, so that no event loop waits for a tokenizer. A job is prepared in turns of at most `TEXTS_PER_TURN` texts and
`CHARACTERS_PER_TURN` characters; between them other jobs have theirs. The first turn of a job runs in the executor for
short texts. Everything longer, and every further turn, goes to the executor for long texts. So a small call waits for
the first turns of others only, however long the texts are that wait.

A long text is prepared step by step (`TextModel.prepare_steps`). Between two steps the pool looks whether anybody still
waits for the text. Under the policy CUT the part that the model reads is known, and queued, before the rest is counted;
the rest is counted after all texts of the job have been queued. The text is finished when it is computed and counted.

`ComputeThread` is one thread per model. As soon as it is free it takes the next batch from what is waiting. It never
waits for a batch to fill up: batching delay only adds latency when the worker is idle, and when it is busy, batches
fill while the one before is computed.

Failures: an exception of the model is the failure of one text. If a batch raises, each of its units is computed again
alone, so that only the bad text fails. `ModelDied`, or the end of the compute thread by anything else, is the death of
the model (`on_death`). Messages of foreign exceptions may contain text of the user, so only their type is logged and
reported; see `to_worker_error`.
"""

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining, ModelDied, ModelFailed, WorkerError
from qda_worker.models.base import Output, Payload, PreparedText, TextModel
from qda_worker.scheduling.batching import batch_cost
from qda_worker.scheduling.jobs import Failure, Job, Outcome, QueuedUnit, Result, Success, TextItem, Timings
from qda_worker.scheduling.observer import Observer
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator

# Prefix of the names of all compute threads; the rest is the key of the model.
COMPUTE_THREAD_PREFIX: Final = "compute-"
# Texts of one job that are tokenised before the next job has its turn.
TEXTS_PER_TURN: Final = 32
# Characters of these texts: some hundredths of a second.
CHARACTERS_PER_TURN: Final = 2**16
# Characters of a text that is prepared in one step.
SHORT_TEXT: Final = 2**14

_LOG: Final = logging.getLogger(__name__)


class _TextPreparation(Generic[Payload, Output, Result]):
    """One text of a job on its way into a lane.

    Attributes:
        number: position of the text in its job.
        steps: the steps of the model that are left.
        timings: of the text; the steps add to `tokenise`.
        item: what is queued; None until the units are known.
    """

    __slots__ = ("item", "number", "steps", "timings")

    def __init__(self, number: int, steps: Iterator[PreparedText[Payload] | None]) -> None:
        self.number = number
        self.steps = steps
        self.timings = Timings()
        self.item: TextItem[Payload, Output, Result] | None = None


class _JobPreparation(Generic[Payload, Output, Result]):
    """How far the texts of a job are prepared. Only the thread that has the job's turn uses it."""

    __slots__ = ("_current", "_model", "_next_number", "_uncounted", "job")

    def __init__(self, job: Job[Result], model: TextModel[Payload, Output, Result]) -> None:
        self.job = job
        self._model = model
        self._next_number = 0
        self._current: _TextPreparation[Payload, Output, Result] | None = None
        # Texts whose units are queued, and of which the rest is to be counted.
        self._uncounted: deque[_TextPreparation[Payload, Output, Result]] = deque()

    @property
    def finished(self) -> bool:
        """Whether no text of the job needs another step."""
        return self._current is None and self._next_number == len(self.job.texts) and not self._uncounted

    @property
    def current(self) -> _TextPreparation[Payload, Output, Result]:
        """The text whose step is next: the one at hand, else the next one, else one to count. Not if finished."""
        if self._current is None:
            if self._next_number == len(self.job.texts):
                return self._uncounted[0]
            text = self.job.texts[self._next_number]
            steps = self._model.prepare_steps(text, self.job.options)
            self._current = _TextPreparation(self._next_number, steps)
            self._next_number += 1
        return self._current

    def units_known(self) -> None:
        """Leave the current text, of which the rest is to be counted."""
        if self._current is not None:
            self._uncounted.append(self._current)
            self._current = None

    def text_finished(self) -> None:
        """Leave the current text, which needs no more steps."""
        if self._current is not None:
            self._current = None
        else:
            self._uncounted.popleft()


class TokenizerPool(Generic[Payload, Output, Result]):
    """Prepares the texts of jobs in two executors and puts their units into the lanes."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        long_pool: Executor,
        state: QueueState[Payload, Output, Result],
        clock: Callable[[], float],
    ) -> None:
        """Create the pool.

        Args:
            model: the model.
            pool: executor for first turns of short texts.
            long_pool: executor for everything else; may be the same one.
            state: the queue's shared state.
            clock: monotonic seconds.
        """
        self._model = model
        self._pool = pool
        self._long_pool = long_pool
        self._state = state
        self._clock = clock

    def submit(self, job: Job[Result]) -> None:
        """Schedule a job for tokenisation and return at once. If the pool is shut down, the job ends as Draining."""
        preparation = _JobPreparation(job, self._model)
        self._submit_turn(preparation, long=len(job.texts[0]) > SHORT_TEXT)

    def _submit_turn(self, preparation: _JobPreparation[Payload, Output, Result], *, long: bool) -> None:
        try:
            (self._long_pool if long else self._pool).submit(self._run_turn, preparation, long)
        except RuntimeError:  # the executor was shut down because the worker is shutting down
            self._state.refuse(preparation.job, Draining("this worker is shutting down"))

    def _run_turn(self, preparation: _JobPreparation[Payload, Output, Result], long: bool) -> None:
        job = preparation.job
        steps = characters = 0
        while not preparation.finished and steps < TEXTS_PER_TURN and characters < CHARACTERS_PER_TURN:
            if job.done:
                return
            if job.is_expired(self._clock()):
                self._state.refuse(
                    job, DeadlineTooShort("the deadline passed before the texts were tokenised")
                )
                return
            text = preparation.current
            length = len(job.texts[text.number])
            if length > SHORT_TEXT and not long:
                break
            steps += 1
            characters += min(length, SHORT_TEXT)
            self._take_step(preparation, text)
        if not preparation.finished:
            self._submit_turn(preparation, long=True)

    def _take_step(
        self,
        preparation: _JobPreparation[Payload, Output, Result],
        text: _TextPreparation[Payload, Output, Result],
    ) -> None:
        job, began = preparation.job, self._clock()
        if text.item is not None and text.item.done:
            preparation.text_finished()  # it failed while it was counted
            return
        try:
            prepared = next(text.steps)
        except Exception as error:  # noqa: BLE001  # the failure of one text is the outcome of that text
            text.timings.tokenise += self._clock() - began
            failure = Failure(to_worker_error(error, self._model.info.key), text.timings)
            self._state.record_outcome(job, text.number, failure)
            preparation.text_finished()
            return
        text.timings.tokenise += self._clock() - began
        if prepared is None:
            return
        if prepared.counted:
            preparation.text_finished()
        else:
            preparation.units_known()
        if text.item is None:
            text.item = TextItem(job, text.number, prepared, text.timings)
            self._state.enqueue(text.item)
        else:
            with self._state.changed:
                text.item.prepared = prepared
                computed = text.item.computed
            if computed:
                finish_text(self._model, self._state, text.item)


class ComputeThread(Generic[Payload, Output, Result]):
    """The compute thread of one model. It starts with the object and ends when the queue has finished or failed."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        state: QueueState[Payload, Output, Result],
        clock: Callable[[], float],
        throughput: ThroughputEstimator,
        observer: Observer,
        on_death: Callable[[str], None],
    ) -> None:
        """Create and start the thread.

        Args:
            model: the model; only this thread calls its `compute`.
            state: the queue's shared state.
            clock: monotonic seconds.
            throughput: receives the duration of batches.
            observer: receives batches and queue times.
            on_death: called in this thread, with the reason, if the model dies.
        """
        self._model = model
        self._state = state
        self._clock = clock
        self._throughput = throughput
        self._observer = observer
        self._on_death = on_death
        self._thread = threading.Thread(
            target=self._run, name=COMPUTE_THREAD_PREFIX + model.info.key, daemon=True
        )
        self._thread.start()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread, at most `timeout` seconds. Return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._compute(batch)
        except BaseException as error:  # noqa: BLE001  # any end of this thread ends the service of the model
            log_traceback(error)
            self._on_death(f"its compute thread ended by {type(error).__name__}")

    def _next_batch(self) -> list[QueuedUnit[Payload, Output, Result]] | None:
        """Wait until there is a batch, and return it; None if there will never be one again."""
        state = self._state
        while True:
            with state.changed:
                batch, expired = state.lanes.take(self._clock())
                if not batch and not expired:
                    if state.finished:
                        return None
                    state.changed.wait()
            for job in expired:
                state.refuse(job, DeadlineTooShort("the deadline passed while the texts waited"))
            if batch:
                return batch

    def _compute(self, batch: Sequence[QueuedUnit[Payload, Output, Result]]) -> None:
        began = self._clock()
        try:
            outputs = self._model.compute([queued.unit for queued in batch])
            pairs = list(zip(batch, outputs, strict=True))
        except ModelDied as error:
            self._on_death(error.message)
            return
        except Exception as error:  # noqa: BLE001  # the failure of a batch is the failure of one of its texts
            self._compute_one_by_one(batch, error)
            return
        seconds = self._clock() - began
        total = self._report_batch(batch, seconds)
        for queued, output in pairs:
            item = queued.item
            if not item.outputs:
                item.timings.queue = max(0.0, began - item.job.arrival - item.timings.tokenise)
                self._observer.on_queue_seconds(item.timings.queue)
            item.timings.compute += seconds * queued.unit.length / total if total else 0.0
            with self._state.changed:  # the pool may be counting the rest of the text
                item.outputs[queued.index] = output
                complete = item.computed and item.prepared.counted
            if complete:
                finish_text(self._model, self._state, item)

    def _report_batch(self, batch: Sequence[QueuedUnit[Payload, Output, Result]], seconds: float) -> int:
        """Report a batch to the observer and, if it was half full, to the estimator. Return its summed length."""
        lengths, budget = [queued.unit.length for queued in batch], self._model.budget
        total, padded = sum(lengths), batch_cost(lengths, budget)
        if len(batch) * 2 >= budget.units or padded * 2 >= budget.length:
            self._throughput.record_batch([queued.cost for queued in batch], seconds)
        self._observer.on_batch(len(batch), total, padded, seconds)
        return total

    def _compute_one_by_one(
        self, batch: Sequence[QueuedUnit[Payload, Output, Result]], error: Exception
    ) -> None:
        """Compute each unit of a failed batch alone, so that only the bad one fails."""
        if len(batch) > 1:
            for queued in batch:
                if not queued.item.done:
                    self._compute([queued])
            return
        item = batch[0].item
        failure = Failure(to_worker_error(error, self._model.info.key), item.timings)
        self._state.record_outcome(item.job, item.number, failure)


def finish_text(
    model: TextModel[Payload, Output, Result],
    state: QueueState[Payload, Output, Result],
    item: TextItem[Payload, Output, Result],
) -> None:
    """Combine the outputs of a text that is computed and counted, and record its outcome."""
    outputs = [item.outputs[index] for index in range(len(item.prepared.units))]
    outcome: Outcome[Result]
    try:
        finished = model.finish(item.text, item.prepared, outputs)
        outcome = Success(finished.answer, finished.usage, item.timings)
    except Exception as error:  # noqa: BLE001  # the failure of one text is the outcome of that text
        outcome = Failure(to_worker_error(error, model.info.key), item.timings)
    state.record_outcome(item.job, item.number, outcome)


def to_worker_error(error: Exception, key: str) -> WorkerError:
    """Return the error that callers of a model see for an exception that it raised.

    The message of a foreign exception may contain text of the user, so it is neither returned nor logged.

    Args:
        error: a WorkerError, which is returned as it is, or a foreign exception, which becomes ModelFailed.
        key: key of the model, for the log.
    """
    if isinstance(error, WorkerError):
        return error
    _LOG.error("model %s raised %s for a text", key, type(error).__name__)
    log_traceback(error)
    return ModelFailed(f"the model raised {type(error).__name__} for this text")


def log_traceback(error: BaseException) -> None:
    """Log the traceback of an exception at debug level, without its message."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
