"""The waiting units of one model, in two lanes with fair sharing between callers.

Between lanes: interactive units go first. Bulk work that would wait for interactive work gets its first batch after
`AGEING_SECONDS`, and from then on one tenth of the compute time. So bulk work never starves, and an interactive text
never waits for more than the batch that is running.

Within a lane: start-time fair queuing (Goyal, Vin and Cheng, 1996) between callers. Each caller has a virtual time
that grows by the length of its computed units; the caller with the least virtual time is next. A caller that becomes
active starts at the virtual time of the lane, so being idle earns no credit. A caller with 10,000 texts therefore does
not delay a caller with 10.

Within a text: a text of many units has only a few of them in its lane. When those have been taken, the next ones are
appended at the end, so that short texts of the same caller pass between the parts of a long one.

Nothing here locks or reads a clock. `QueueState` owns the lanes and guards them with its lock.
"""

from collections import deque
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heapreplace
from typing import Final, Generic

from qda_worker.models.base import BatchBudget, Output, Payload
from qda_worker.scheduling.batching import select_batch
from qda_worker.scheduling.jobs import Job, Lane, QueuedUnit, Result, TextItem

# How long bulk work waits for interactive work before its first batch, in seconds.
AGEING_SECONDS: Final = 2.0
# After a batch of bulk work, interactive work gets this many times the duration of that batch: nine tenths.
_INTERACTIVE_SHARES: Final = 9
# Number of due units from which a batch is selected: enough to find similar lengths, and sorted in well under 1 ms.
_CANDIDATES: Final = 512
# How many batches of one text may wait in the lane at once if batches are padded: enough to find similar lengths.
_BATCHES_PER_TEXT: Final = 4


class Lanes(Generic[Payload, Output, Result]):
    """The interactive and the bulk lane of one model."""

    __slots__ = (
        "_batches_per_text",
        "_budget",
        "_bulk",
        "_bulk_pause",
        "_bulk_until",
        "_interactive",
        "_last_batch",
    )

    def __init__(self, budget: BatchBudget) -> None:
        self._budget = budget
        self._batches_per_text = _BATCHES_PER_TEXT if budget.padded else 1
        self._interactive: FairLane[Payload, Output, Result] = FairLane()
        self._bulk: FairLane[Payload, Output, Result] = FairLane()
        # The lane of the batch that is being computed, and when it started.
        self._last_batch: tuple[FairLane[Payload, Output, Result] | None, float] = (None, 0.0)
        self._bulk_until = 0.0  # when the last bulk batch ended
        self._bulk_pause = AGEING_SECONDS  # how long bulk work has to wait after that

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)

    def add(self, item: TextItem[Payload, Output, Result]) -> None:
        """Put the next units of a text into the lane of its job."""
        job, units = item.job, item.prepared.units
        lane = self._bulk if job.lane is Lane.BULK else self._interactive
        max_length = self._batches_per_text * self._budget.length
        max_units = self._batches_per_text * self._budget.units
        start, length = item.enqueued_units, 0
        while item.enqueued_units < len(units):
            length += units[item.enqueued_units].length
            count = item.enqueued_units - start
            if count and (length > max_length or count >= max_units):
                break
            lane.add(QueuedUnit(item, item.enqueued_units, job.arrival))
            item.enqueued_units += 1
        item.waiting_units += item.enqueued_units - start

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
            The batch, empty if no unit waits; and the jobs that were found to be past their deadline.
        """
        self._record_batch_end(now)
        expired: set[Job[Result]] = set()

        def is_dead(queued: QueuedUnit[Payload, Output, Result]) -> bool:
            job = queued.item.job
            if not queued.item.done and not job.is_expired(now):
                return False
            if not queued.item.done:
                expired.add(job)
            return True

        for lane in (self._interactive, self._bulk):
            lane.drop_dead(is_dead)
        lane = self._next_lane(now)
        candidates = lane.take(_CANDIDATES, is_dead)
        selected = select_batch([queued.unit.length for queued in candidates], self._budget)
        for position in selected:
            self._unit_taken(candidates[position].item)
        lane.commit(candidates, set(selected))
        if selected:
            self._last_batch = (lane, now)
        return [candidates[position] for position in selected], expired

    def _unit_taken(self, item: TextItem[Payload, Output, Result]) -> None:
        """Count a unit that has left its lane; after the last one, append the next units of the text."""
        item.waiting_units -= 1
        if not item.waiting_units:
            self.add(item)

    def _record_batch_end(self, now: float) -> None:
        lane, began = self._last_batch
        self._last_batch = (None, now)
        if lane is self._bulk:
            self._bulk_until, self._bulk_pause = now, (now - began) * _INTERACTIVE_SHARES

    def _next_lane(self, now: float) -> "FairLane[Payload, Output, Result]":
        if not self._bulk:
            self._bulk_pause = AGEING_SECONDS
            return self._interactive
        if not self._interactive:
            return self._bulk
        since = max(self._bulk.oldest, self._bulk_until)
        return self._bulk if now >= since + self._bulk_pause else self._interactive


class FairLane(Generic[Payload, Output, Result]):
    """The waiting units of one lane, by caller and oldest first, with start-time fair queuing between callers.

    Taking a batch has two steps: `take` removes candidates in their order, and `commit` puts back those that were not
    selected and charges the callers of those that were.
    """

    __slots__ = ("_callers", "_now", "_virtual_times")

    def __init__(self) -> None:
        self._callers: dict[str, deque[QueuedUnit[Payload, Output, Result]]] = {}
        self._virtual_times: dict[str, int] = {}  # by caller; only callers with waiting units
        self._now = 0  # virtual time of the lane: that of the caller served last

    def __len__(self) -> int:
        return sum(map(len, self._callers.values()))

    def __bool__(self) -> bool:
        return bool(self._callers)

    @property
    def oldest(self) -> float:
        """Arrival of the unit that waits longest. The lane must not be empty."""
        return min(units[0].arrival for units in self._callers.values())

    def add(self, queued: QueuedUnit[Payload, Output, Result]) -> None:
        """Append a unit to those of its caller."""
        caller = queued.item.job.caller
        if caller not in self._callers:
            self._callers[caller] = deque()
            self._virtual_times[caller] = self._now
        self._callers[caller].append(queued)

    def drop_dead(self, is_dead: Callable[[QueuedUnit[Payload, Output, Result]], bool]) -> None:
        """Remove the dead units at the front of each caller's queue."""
        for caller, units in list(self._callers.items()):
            while units and is_dead(units[0]):
                units.popleft()
            self._remove_if_empty(caller)

    def take(
        self, limit: int, is_dead: Callable[[QueuedUnit[Payload, Output, Result]], bool]
    ) -> list[QueuedUnit[Payload, Output, Result]]:
        """Remove up to `limit` units in the order in which they are due, and return those that are not dead."""
        heap = [(virtual_time, caller) for caller, virtual_time in self._virtual_times.items()]
        heapify(heap)
        taken: list[QueuedUnit[Payload, Output, Result]] = []
        for _ in range(limit):
            if not heap:
                break
            virtual_time, caller = heap[0]
            units = self._callers[caller]
            queued = units.popleft()
            if not is_dead(queued):
                taken.append(queued)
                virtual_time += max(queued.unit.length, 1)
            if units:
                heapreplace(heap, (virtual_time, caller))
            else:
                heappop(heap)
        return taken

    def commit(
        self, candidates: list[QueuedUnit[Payload, Output, Result]], selected: Collection[int]
    ) -> None:
        """Finish a `take`.

        Args:
            candidates: what `take` returned.
            selected: positions of the candidates that will be computed. The others go back to the front.
        """
        if candidates:
            self._now = self._virtual_times[candidates[0].item.job.caller]
        for position in reversed(range(len(candidates))):
            queued = candidates[position]
            caller = queued.item.job.caller
            if position in selected:
                self._virtual_times[caller] += max(queued.unit.length, 1)
            else:
                self._callers[caller].appendleft(queued)
        for caller in list(self._callers):
            self._remove_if_empty(caller)

    def clear(self) -> None:
        """Remove every unit."""
        self._callers.clear()
        self._virtual_times.clear()

    def _remove_if_empty(self, caller: str) -> None:
        if not self._callers[caller]:
            del self._callers[caller], self._virtual_times[caller]
