"""The compute thread of a model.

`ComputeThread` is one thread per model. Whenever it is idle it takes the next batch from the queue and computes it. It
does not wait for a batch to fill: that would only add latency while the worker is idle, and under load the next batch
fills while the current one is computed.

Equal units of a batch (`jobs.group_equal`) are computed once, and each text gets a result of its own.

Between the layers of a batch (`models.pauses`) the thread gives the batch up if all its callers have gone, by
cancellation, deadline or the end of the worker, and it interrupts a bulk batch for interactive batches, as `Lanes`
allows. Those are computed in the same thread by the same model, and are not interrupted themselves. Then it gives way
to the batches of other models (`ComputeTurns`), with which it shares the CPUs.

Failures: an exception of the model is the failure of one text. If a batch raises, each of its units is computed again
alone, so that only the bad text fails. If the process of a model ends during a batch (`BatchLost`), its units are
computed again one by one in the new process, and a text that ends it again fails. `ModelDied`, or the end of the
compute thread by anything else, is the death of the model (`on_death`). Messages of foreign exceptions may contain text
of the user, so only their type is logged and reported; see `to_worker_error`.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic

from qda_worker.errors import BatchLost, DeadlineTooShort, ModelDied, ModelFailed
from qda_worker.models.base import Output, Payload, TextModel
from qda_worker.models.pauses import BatchAbandoned, pausing
from qda_worker.scheduling.jobs import Failure, Lane, QueuedUnit, Result, group_equal
from qda_worker.scheduling.observer import Observer
from qda_worker.scheduling.outcomes import finish_text, log_traceback, to_worker_error
from qda_worker.scheduling.state import QueueState
from qda_worker.scheduling.throughput import ThroughputEstimator, sum_by_class
from qda_worker.scheduling.turns import ComputeTurn, ComputeTurns

# Prefix of the names of all compute threads; the rest is the key of the model.
COMPUTE_THREAD_PREFIX: Final = "compute-"

# Why a job is refused that was admitted: it has expired, or would by the end of its batch.
_WAITED_TOO_LONG: Final = "the texts waited until the deadline could not be met any more"

# How often the process of a model may end with a text before the text fails: once in a batch and once alone.
_MAX_LOSSES: Final = 2
# The same if the process was killed from outside, which may have had another cause than the text: once more alone.
_MAX_LOSSES_FROM_OUTSIDE: Final = 3

# A batch of a half of the budget tells the estimator how long batches take; a fourth does if other units waited and
# were left out, to save padding or because batches of interactive work have half of the budget.
_FULL: Final = 2
_FULL_IF_UNITS_ARE_LEFT: Final = 4


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Progress of the batch that is being computed.

    Attributes:
        seconds: since it began, or last reached a pause point.
        expected: its whole duration by what was measured; 0 if that is unknown.
        length: sum of the lengths of its units.
    """

    seconds: float
    expected: float
    length: int


@dataclass(slots=True)
class _RunningBatch(Generic[Payload, Output, Result]):
    """A batch that is being computed.

    Attributes:
        groups: the units, equal ones together. The model computes the first of each group.
        interrupts: whether it is computed between the layers of another batch.
        expected: its duration by what was measured when it began, in seconds; 0 if unknown.
        progressed_at: when it began or last reached a pause point, in seconds of the queue's clock.
        first_deadline: the first deadline of its jobs, by the same clock; infinite without one.
        leaves_units: see `Lanes.leaves_units`.
        interruption_seconds: time that interactive batches took in between.
    """

    groups: Sequence[Sequence[QueuedUnit[Payload, Output, Result]]]
    interrupts: bool
    expected: float
    progressed_at: float
    first_deadline: float = math.inf
    leaves_units: bool = False
    interruption_seconds: float = 0.0

    @property
    def units(self) -> "Iterator[QueuedUnit[Payload, Output, Result]]":
        """All units."""
        return chain.from_iterable(self.groups)

    @property
    def computed(self) -> "list[QueuedUnit[Payload, Output, Result]]":
        """The units that the model computes."""
        return [group[0] for group in self.groups]

    @property
    def abandoned(self) -> bool:
        """Whether none of its texts is needed any more."""
        return all(queued.item.done for queued in self.units)


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
        turns: ComputeTurns,
    ) -> None:
        """Create and start the thread.

        Args:
            model: the model; only this thread calls its `compute`.
            state: the queue's shared state.
            clock: monotonic seconds.
            throughput: receives the duration of batches.
            observer: receives batches and queue times.
            on_death: called in this thread, with the reason, if the model dies.
            turns: those of the computations that share the CPUs.
        """
        self._model = model
        self._state = state
        self._clock = clock
        self._throughput = throughput
        self._observer = observer
        self._on_death = on_death
        self._turns = turns
        self._turn: ComputeTurn | None = None  # set while a batch is computed
        self._running: _RunningBatch[Payload, Output, Result] | None = None
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
                with self._turns.turn(interactive=batch[0].item.job.lane is Lane.INTERACTIVE) as self._turn:
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
                state.refuse(job, DeadlineTooShort(_WAITED_TOO_LONG))
            if batch:
                return batch

    def progress(self) -> BatchProgress | None:
        """Return how the batch that the model computes gets on; None if it is idle. Any thread may call this."""
        running = self._running
        if running is None:
            return None
        length = sum(queued.unit.length for queued in running.computed)
        return BatchProgress(self._clock() - running.progressed_at, running.expected, length)

    def _compute(
        self,
        batch: Sequence[QueuedUnit[Payload, Output, Result]],
        *,
        interrupts: bool = False,
        losses: int = 0,
    ) -> None:
        """Compute a batch and record what comes of it.

        Args:
            batch: the units.
            interrupts: whether it is computed between the layers of another batch.
            losses: how often the process of the model has ended with these units already.
        """
        began = self._clock()
        groups = [[batch[position] for position in group] for group in group_equal(batch)]
        computed = [group[0] for group in groups]
        expected = self._throughput.estimate_seconds(sum_by_class(math.ceil(each.cost) for each in computed))
        deadlines = (queued.item.job.deadline for queued in batch)
        first_deadline = min((each for each in deadlines if each is not None), default=math.inf)
        leaves_units = self._state.lanes.leaves_units  # written by this thread, when it took the batch
        running = _RunningBatch(groups, interrupts, expected, began, first_deadline, leaves_units)
        try:
            outputs = self._run_model(running)
            answers = list(zip(groups, outputs, strict=True))
        except BatchAbandoned:
            return
        except ModelDied as error:
            self._on_death(error.message)
            return
        except BatchLost as error:
            self._compute_lost(running, error, losses + 1)
            return
        except Exception as error:  # noqa: BLE001  # the failure of a batch is the failure of one of its texts
            self._compute_failed(running, error, losses)
            return
        seconds = self._clock() - began - running.interruption_seconds
        total = self._report_batch(running, seconds)
        for group, output in answers:
            share = seconds * group[0].unit.length / total / len(group) if total else 0.0
            for queued in group:
                self._record_output(queued, output, share, began)

    def _record_output(
        self, queued: QueuedUnit[Payload, Output, Result], output: Output, seconds: float, began: float
    ) -> None:
        """Record the output of a unit, with its share of the time, and finish its text if it was the last one."""
        item = queued.item
        if not item.outputs:
            item.timings.queue = max(0.0, began - item.job.arrival - item.timings.tokenize)
            self._observer.on_queue_seconds(item.timings.queue)
        item.timings.compute += seconds
        with self._state.changed:  # the pool may be counting the rest of the text
            item.outputs[queued.index] = output
            complete = item.computed and item.prepared.counted
        if complete:
            finish_text(self._model, self._state, item)

    def _run_model(self, running: _RunningBatch[Payload, Output, Result]) -> Sequence[Output]:
        outer, self._running = self._running, running
        try:
            with pausing(lambda: self._pause(running)):
                return self._model.compute([queued.unit for queued in running.computed])
        finally:
            self._running = outer

    def _pause(self, running: _RunningBatch[Payload, Output, Result]) -> None:
        """Handle a pause point of a batch: give it up, compute interactive batches first, or let other models compute.

        A batch has about 70 pause points, so that what is not needed at most of them must cost nothing. On a CUDA
        device they are passed ahead of the computation, so the seconds of an interruption contain what the interrupted
        batch had launched, and those of the batch lack it.

        Raises:
            BatchAbandoned: no text of the batch is needed any more.
        """
        now = running.progressed_at = self._clock()
        if now >= running.first_deadline:
            self._refuse_expired(running, now)
        if running.abandoned:
            raise BatchAbandoned
        if running.interrupts:
            return
        while self._state.lanes.interactive_waits and (batch := self._next_interactive_batch()):
            began = self._clock()
            self._compute(batch, interrupts=True)
            running.progressed_at = self._clock()
            running.interruption_seconds += running.progressed_at - began
        if self._turn is not None and self._turn.give_way():
            running.progressed_at = self._clock()

    def _refuse_expired(self, running: _RunningBatch[Payload, Output, Result], now: float) -> None:
        """Refuse the jobs of a batch whose deadline has passed."""
        for job in {queued.item.job for queued in running.units}:
            if job.is_expired(now):
                self._state.refuse(job, DeadlineTooShort("the deadline passed while the texts were computed"))

    def _next_interactive_batch(self) -> list[QueuedUnit[Payload, Output, Result]]:
        """Return a batch that may interrupt the running one; empty if there is none."""
        state = self._state
        while True:
            with state.changed:
                batch, expired = state.lanes.take_interactive(self._clock())
            for job in expired:
                state.refuse(job, DeadlineTooShort(_WAITED_TOO_LONG))
            if batch or not expired:
                return batch

    def _report_batch(self, running: _RunningBatch[Payload, Output, Result], seconds: float) -> int:
        """Report the computed units of a batch to the observer and the estimator. Return their summed length."""
        batch, budget = running.computed, self._model.budget
        lengths = [queued.unit.length for queued in batch]
        total, cost = sum(lengths), budget.cost(lengths)
        parts = _FULL_IF_UNITS_ARE_LEFT if running.leaves_units else _FULL
        full = len(batch) * parts >= budget.units or cost * parts >= budget.length
        self._throughput.record_batch([queued.cost for queued in batch], seconds, full=full)
        self._observer.on_batch(len(batch), total, cost, seconds)
        return total

    def _compute_failed(
        self, running: _RunningBatch[Payload, Output, Result], error: Exception, losses: int
    ) -> None:
        """Compute each unit of a failed batch alone, so that only the bad one fails."""
        if len(running.groups) > 1:
            self._compute_one_by_one(running, losses)
        else:
            self._fail_texts(running, error)

    def _compute_lost(
        self, running: _RunningBatch[Payload, Output, Result], error: BatchLost, losses: int
    ) -> None:
        """Compute each unit of a lost batch alone. A unit that was lost alone, and often enough, fails its text."""
        limit = _MAX_LOSSES_FROM_OUTSIDE if error.from_outside else _MAX_LOSSES
        if len(running.groups) > 1 or losses < limit:
            self._compute_one_by_one(running, losses)
            return
        failure = ModelFailed(
            f"the process of the model ended {losses} times while it computed this text: {error.message}",
            "leave the text out, or split it; the others are not affected",
        )
        self._fail_texts(running, failure)

    def _compute_one_by_one(self, running: _RunningBatch[Payload, Output, Result], losses: int) -> None:
        for group in running.groups:
            needed = [queued for queued in group if not queued.item.done]
            if needed:
                self._compute(needed, interrupts=running.interrupts, losses=losses)

    def _fail_texts(self, running: _RunningBatch[Payload, Output, Result], error: Exception) -> None:
        worker_error = to_worker_error(error, self._model.info.key)
        for queued in running.units:
            item = queued.item
            self._state.record_outcome(item.job, item.number, Failure(worker_error, item.timings))
