"""The waiting units of one model, in two lanes with fair sharing between callers.

Between lanes: interactive units go first. Bulk work that would wait for interactive work gets its first batch after
`AGEING_SECONDS`, and from then on one tenth of the compute time. So bulk work never starves.

Long units: a unit that exceeds the budget is a batch of its own, which may take minutes. It waits in the bulk lane
whatever its priority, so that every interactive batch is short.

Between the layers of a bulk batch: the compute thread may interrupt a bulk batch (`take_interactive`) as long as
interactive work has had less than its nine tenths since the batch began. So an interactive text waits for a part of a
bulk batch only. Parts are as long as the batch is large, so if the model has few of them
(`BatchBudget.coarse_pauses`), bulk batches get half of the budget for `_PRESENCE_SECONDS` after interactive work.

On a CUDA device, kernels are launched ahead of their computation: the thread passes the pause points before the device
has computed what precedes them, and waits at the end of the batch. So what interrupts a batch there waits for all that
was launched and is charged for it, and the shares between the lanes do not hold within a batch.

Within a lane: fair sharing between callers, see `fair_lane`.

Interactive batches of several jobs get half of the budget of tokens too: the first of many callers are answered sooner,
and the others hardly later. Simulated with a cost of 12 tokens a batch and 64 calls at once, of one text of 16 to 31
tokens each, the mean wait is 1,021 instead of 1,234 tokens. If each caller goes on with another text, it is 1,541
instead of 1,522, and 99 of 100 wait for less than 3,632 instead of 3,843. Smaller batches make both worse.

Interactive batches of models that pad little (`BatchBudget.padding`) are those that are due first. Others are chosen
from more units, by length, so that some wait for several batches. In order, 99 of 100 callers in the last simulation
wait for less than 1,934 tokens, and the mean is the same. If their lengths are log-normal (median 33, up to 500), it is
4,524 instead of 8,213, and the mean is 6 % longer.

Deadlines: a batch is chosen from the units that can be computed in half of the time that the job due next has left. So
the texts of a call whose deadline is close are computed together, and not in batches of similar lengths one after the
other. A job that would be late by the estimated time of its batch is left out and reported with the expired ones.

Within a batch: equal units of several calls (`jobs.group_equal`) count once against the budget and are computed once.
Each is charged to its own caller.

Within a text: a text of many units has only a few of them in its lane. When those have been taken, the next ones are
appended at the end, so that short texts of the same caller pass between the parts of a long one.

Nothing here locks or reads a clock. `QueueState` owns the lanes and guards them with its lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Generic

from qda_worker.models.base import Output, Payload
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.scheduling.batching import select_batch
from qda_worker.scheduling.caller_load import Estimate
from qda_worker.scheduling.fair_lane import FairLane
from qda_worker.scheduling.jobs import Job, Lane, QueuedUnit, Result, TextItem, group_equal
from qda_worker.scheduling.throughput import sum_by_class

# How long bulk work waits for interactive work before its first batch, in seconds.
AGEING_SECONDS: Final = 2.0
# After a batch of bulk work, interactive work gets this many times the duration of that batch: nine tenths.
_INTERACTIVE_SHARES: Final = 9
# Number of due units from which a batch is chosen, or the units of a full batch if those are more: enough to find
# similar lengths. The selection takes about 0.2 ms on CPUs, 1 ms with spaCy or the budget of a CUDA device (measured).
_CANDIDATES: Final = 512
# Share of the time that the job due next has left, in which the units that a batch is chosen from can be computed.
_CANDIDATES_SHARE: Final = 0.5
# Share of its budget from which a batch in order looks for no more units that fit.
_FILLED_SHARE: Final = 0.9
# How long bulk batches of models with coarse pauses stay small after interactive work, in seconds: callers that work
# with a program pause that long. What this gains and costs is not measured.
_PRESENCE_SECONDS: Final = 10.0
# Share of the budget that these get, and interactive batches of several calls.
_SMALL_SHARE: Final = 0.5
# How many batches of one text may wait in the lane at once if batches have padding: enough to find similar lengths.
_BATCHES_PER_TEXT: Final = 4


class Lanes(Generic[Payload, Output, Result]):
    """The interactive and the bulk lane of one model.

    Attributes:
        leaves_units: whether the batch that was taken last leaves units that it could have been chosen from. Such a
            batch is as full as batches of these units are.
    """

    __slots__ = (
        "_batches_per_text",
        "_budget",
        "_bulk",
        "_bulk_pause",
        "_bulk_until",
        "_estimate",
        "_interactive",
        "_interactive_at",
        "_interrupted_at",
        "_interruption_seconds",
        "_last_batch",
        "leaves_units",
    )

    def __init__(self, budget: BatchBudget, estimate: Estimate = lambda _: 0.0) -> None:
        self._budget = budget
        self._estimate = estimate
        self._batches_per_text = _BATCHES_PER_TEXT if budget.padding else 1
        self._interactive: FairLane[Payload, Output, Result] = FairLane()
        self._bulk: FairLane[Payload, Output, Result] = FairLane()
        self._interactive_at = -_PRESENCE_SECONDS  # when the last interactive batch was taken
        # The lane of the batch that is being computed, and when it started.
        self._last_batch: tuple[FairLane[Payload, Output, Result] | None, float] = (None, 0.0)
        self._bulk_until = 0.0  # when the last bulk batch ended
        self._bulk_pause = AGEING_SECONDS  # how long bulk work has to wait after that
        # Of the bulk batch that is being computed: when interactive work interrupted it, and for how long before that.
        self._interrupted_at: float | None = None
        self._interruption_seconds = 0.0
        self.leaves_units = False

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)

    @property
    def interactive_waits(self) -> bool:
        """Whether interactive units wait. May be read without a lock."""
        return bool(len(self._interactive))

    def add(self, item: TextItem[Payload, Output, Result]) -> None:
        """Put the next units of a text into the lane of its job, or into the bulk lane if one of them is long."""
        job, units = item.job, item.prepared.units
        max_length = self._batches_per_text * self._budget.length
        max_units = self._batches_per_text * self._budget.units
        start, length, longest = item.enqueued_units, 0, 0
        while item.enqueued_units < len(units):
            unit = units[item.enqueued_units]
            length += unit.length
            count = item.enqueued_units - start
            if count and (length > max_length or count >= max_units):
                break
            longest = max(longest, unit.length)
            item.enqueued_units += 1
        is_bulk = job.lane is Lane.BULK or longest > self._budget.length
        lane = self._bulk if is_bulk else self._interactive
        for index in range(start, item.enqueued_units):
            lane.add(QueuedUnit(item, index, job.arrival))
        item.waiting_units += item.enqueued_units - start

    def remove(self, item: TextItem[Payload, Output, Result]) -> None:
        """Remove the waiting units of a text that needs them no more."""
        if item.waiting_units:
            self._interactive.remove(item)
            self._bulk.remove(item)
            item.waiting_units = 0

    def clear(self) -> None:
        """Remove every unit."""
        self._interactive.clear()
        self._bulk.clear()

    def take(self, now: float) -> tuple[list[QueuedUnit[Payload, Output, Result]], set[Job[Result]]]:
        """Remove and return the next batch, all of one lane.

        The compute thread calls this when it has computed the batch before. Units of finished, cancelled and expired
        jobs that are found on the way are removed without being computed.

        Args:
            now: the queue's clock, in seconds.

        Returns:
            The batch, empty if no unit waits; and the jobs that were found to be past their deadline, or would be by
            the end of the batch.
        """
        self._record_batch_end(now)
        while True:
            self._interactive.end_busy_period()
            self._bulk.end_busy_period()
            waiting, lane = len(self), self._next_lane(now)
            batch, expired = self._take_from(lane, now)
            if batch:
                self._last_batch = (lane, now)
            if batch or expired or not 0 < len(self) < waiting:
                return batch, expired
            # the lane held nothing but units of jobs that have ended

    def take_interactive(
        self, now: float
    ) -> tuple[list[QueuedUnit[Payload, Output, Result]], set[Job[Result]]]:
        """Remove and return a batch of interactive work that may interrupt the bulk batch being computed.

        The compute thread calls this between the layers of a batch, and again after each batch that it got, until the
        batch is empty. The results are those of `take`.
        """
        lane, began = self._last_batch
        self._end_interruption(now)
        if lane is not self._bulk or not self._interactive:
            return [], set()
        bulk_seconds = now - began - self._interruption_seconds
        if self._interruption_seconds >= bulk_seconds * _INTERACTIVE_SHARES:
            return [], set()
        batch, expired = self._take_from(self._interactive, now)
        if batch:
            self._interrupted_at = now
        return batch, expired

    def _take_from(
        self, lane: FairLane[Payload, Output, Result], now: float
    ) -> tuple[list[QueuedUnit[Payload, Output, Result]], set[Job[Result]]]:
        expired: set[Job[Result]] = set()

        def is_dead(queued: QueuedUnit[Payload, Output, Result]) -> bool:
            if queued.item.done:
                return True
            if not queued.item.job.is_expired(now):
                return False
            expired.add(queued.item.job)
            return True

        candidates = lane.take(max(_CANDIDATES, self._budget.units), is_dead)
        # Batches of one job alone have the whole budget and any order: it is answered with its last text.
        shared = lane is self._interactive and len({queued.item.job for queued in candidates}) > 1
        budget = self._budget_of_next(lane, now, shared=shared)
        in_order = shared and budget.padding < 1
        positions = self._select(candidates, expired, now, budget, in_order=in_order)
        if lane is self._interactive and positions:
            self._interactive_at = now
        lane.commit(candidates, set(positions))
        batch = [candidates[position] for position in positions]
        for queued in batch:
            self._unit_taken(queued.item)
        return batch, expired

    def _budget_of_next(
        self, lane: FairLane[Payload, Output, Result], now: float, *, shared: bool
    ) -> BatchBudget:
        """Return the budget of the next batch of a lane: the whole one or a share, see the module.

        Args:
            lane: the lane.
            now: the queue's clock, in seconds.
            shared: whether units of several interactive jobs wait.
        """
        budget = self._budget
        length = max(1, int(budget.length * _SMALL_SHARE))
        if shared:  # the number of units stays: batches of very short texts are small already
            return replace(budget, length=length)
        if lane is self._bulk and budget.coarse_pauses and now < self._interactive_at + _PRESENCE_SECONDS:
            return budget.with_length(length)
        return budget

    def _select(
        self,
        candidates: Sequence[QueuedUnit[Payload, Output, Result]],
        late: set[Job[Result]],
        now: float,
        budget: BatchBudget,
        *,
        in_order: bool,
    ) -> list[int]:
        """Return the positions of the candidates that form a batch; add the jobs that it leaves out to `late`."""
        remaining = list(range(len(candidates)))
        while True:
            considered = [candidates[position] for position in remaining]
            considered = considered[: self._count_within(considered, now, budget)]
            groups = group_equal(considered)
            lengths = [considered[group[0]].unit.length for group in groups]
            chosen = _first_that_fill(lengths, budget) if in_order else range(len(groups))
            selected = [chosen[one] for one in select_batch([lengths[one] for one in chosen], budget)]
            self.leaves_units = len(selected) < len(groups)
            batch = [number for group in selected for number in groups[group]]
            costs = (considered[groups[group][0]].cost for group in selected)
            found = self._late([considered[number] for number in batch], now + self._seconds(costs))
            left = [position for position in remaining if candidates[position].item.job not in found]
            if not found or not left:  # without other work, the batch corrects a high estimate
                return [remaining[number] for number in batch]
            late |= found
            remaining = left

    def _late(self, batch: Sequence[QueuedUnit[Payload, Output, Result]], end: float) -> set[Job[Result]]:
        """Return the jobs that cannot meet their deadline, because of the batch or of what is left of them after it."""
        costs: dict[Job[Result], list[float]] = {}
        for queued in batch:
            if queued.item.job.deadline is not None:
                costs.setdefault(queued.item.job, []).append(queued.cost)
        late = set()
        for job, of_job in costs.items():
            rest = self._estimate(job.open_costs) - self._seconds(of_job)
            if job.is_expired(end + max(0.0, rest)):
                rest -= self._seconds(_computed_costs(job))
                if job.is_expired(end + max(0.0, rest)):
                    late.add(job)
        return late

    def _seconds(self, costs: Iterable[float]) -> float:
        return self._estimate(sum_by_class(map(round, costs)))

    def _count_within(
        self, candidates: Sequence[QueuedUnit[Payload, Output, Result]], now: float, budget: BatchBudget
    ) -> int:
        """Return how many candidates a batch is chosen from, at least one; see the module.

        They fill a batch, unless the job due next could be answered in time in a smaller one only.
        """
        job = candidates[0].item.job if candidates else None
        if job is None or job.deadline is None:
            return len(candidates)
        left = job.deadline - now
        fits = self._estimate(job.open_costs) <= left
        seconds = left * _CANDIDATES_SHARE
        length, costs = 0, 0.0
        total = self._seconds(queued.cost for queued in candidates)
        if total <= seconds:
            return len(candidates)
        whole = sum(queued.cost for queued in candidates) or 1.0
        for number, queued in enumerate(candidates):
            length += queued.unit.length
            costs += queued.cost
            needed = total * costs / whole
            fills_batch = length > budget.length and needed > seconds
            if number and (fills_batch or (fits and needed > left)):
                return number
        return len(candidates)

    def _unit_taken(self, item: TextItem[Payload, Output, Result]) -> None:
        """Count a unit that has left its lane; after the last one, append the next units of the text."""
        item.waiting_units -= 1
        if not item.waiting_units:
            self.add(item)

    def _record_batch_end(self, now: float) -> None:
        lane, began = self._last_batch
        self._last_batch = (None, now)
        self._end_interruption(now)
        if lane is self._bulk:
            interactive_seconds, self._interruption_seconds = self._interruption_seconds, 0.0
            bulk_seconds = now - began - interactive_seconds
            self._bulk_until = now
            self._bulk_pause = max(0.0, bulk_seconds * _INTERACTIVE_SHARES - interactive_seconds)

    def _end_interruption(self, now: float) -> None:
        if self._interrupted_at is not None:
            self._interruption_seconds += now - self._interrupted_at
            self._interrupted_at = None

    def _next_lane(self, now: float) -> FairLane[Payload, Output, Result]:
        if not self._bulk:
            self._bulk_pause = AGEING_SECONDS
            return self._interactive
        if not self._interactive:
            return self._bulk
        since = max(self._bulk.active_since, self._bulk_until)
        return self._bulk if now >= since + self._bulk_pause else self._interactive


def _first_that_fill(lengths: Sequence[int], budget: BatchBudget) -> list[int]:
    """Return the positions of the first units that fill a batch. One that does not fit with those before it is skipped.

    The first unit is always among them.
    """
    chosen, tokens, longest, cost = list[int](), 0, 0, 0.0
    for position, length in enumerate(lengths):
        if cost >= budget.length * _FILLED_SHARE:
            break
        with_it = budget.cost_of(tokens + length, max(longest, length), len(chosen) + 1)
        if not chosen or with_it <= budget.length:
            chosen.append(position)
            tokens, longest, cost = tokens + length, max(longest, length), with_it
    return chosen


def _computed_costs(job: Job[Any]) -> list[float]:
    """Return the costs of the units that are computed already, of the texts without an outcome."""
    if not job.costs:
        return []
    return [
        job.costs[item.number] / len(item.prepared.units)
        for item in job.items.values()
        for _ in range(len(item.outputs))
    ]
