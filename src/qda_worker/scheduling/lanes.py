"""The units that wait for one model, in two lanes: what somebody waits for goes first, and work in bulk has its share.

Bulk work that would wait for interactive work gets a batch after 2 seconds, and from then on a tenth of the time: so it
is never kept waiting for ever, and never keeps anybody waiting for more than the batch that runs.

A text of many units has only some of them in its lane; when these are taken, the next go to the end. So short texts of
the same caller pass between the parts of a long one, too.

One lane's waiting units, shared fairly between callers: who sends 10,000 texts delays nobody who sends 10.

Start-time fair queuing: each caller's account shows how much was computed for it, and the one with the least is next.
A caller that comes (back) starts at the account of the last one served, so that idleness earns nothing.
"""

from collections import deque
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heapreplace
from typing import Final, Generic

from qda_worker.models.base import BatchBudget, Output, Payload
from qda_worker.scheduling.batching import cut_batch
from qda_worker.scheduling.jobs import Entry, Item, Job, Lane, Result


class FairLane(Generic[Payload, Output, Result]):
    """Units by caller, oldest first."""

    __slots__ = ("_accounts", "_reached", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Entry[Payload, Output, Result]]] = {}
        self._accounts: dict[str, int] = {}
        self._reached = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def oldest(self) -> float:
        """Since when the unit waits that came first. Only where one waits."""
        return min(units[0].since for units in self._waiting.values())

    def add(self, entry: Entry[Payload, Output, Result]) -> None:
        """Puts a unit at the end of its caller's."""
        caller = entry.item.job.caller
        if caller not in self._waiting:
            self._waiting[caller] = deque()
            self._accounts[caller] = self._reached
        self._waiting[caller].append(entry)

    def drop(self, dead: Callable[[Entry[Payload, Output, Result]], bool]) -> None:
        """Removes dead units in front of each caller's."""
        for caller, units in list(self._waiting.items()):
            while units and dead(units[0]):
                units.popleft()
            self._leave_if_empty(caller)

    def take(
        self, most: int, dead: Callable[[Entry[Payload, Output, Result]], bool]
    ) -> list[Entry[Payload, Output, Result]]:
        """Removes at most so many units, in the order in which they are due, and returns those that are alive."""
        heap = [(account, caller) for caller, account in self._accounts.items()]
        heapify(heap)
        taken: list[Entry[Payload, Output, Result]] = []
        for _ in range(most):
            if not heap:
                break
            account, caller = heap[0]
            units = self._waiting[caller]
            entry = units.popleft()
            if not dead(entry):
                taken.append(entry)
                account += max(entry.unit.length, 1)
            if units:
                heapreplace(heap, (account, caller))
            else:
                heappop(heap)
        return taken

    def give_back(self, seen: list[Entry[Payload, Output, Result]], chosen: Collection[int]) -> None:
        """Ends a `take`: those of `seen` whose positions are not chosen wait on, the others go to their accounts."""
        if seen:
            self._reached = self._accounts[seen[0].item.job.caller]
        for position in reversed(range(len(seen))):
            entry = seen[position]
            caller = entry.item.job.caller
            if position in chosen:
                self._accounts[caller] += max(entry.unit.length, 1)
            else:
                self._waiting[caller].appendleft(entry)
        for caller in list(self._waiting):
            self._leave_if_empty(caller)

    def clear(self) -> None:
        """Forgets all that waits."""
        self._waiting.clear()
        self._accounts.clear()

    def _leave_if_empty(self, caller: str) -> None:
        if not self._waiting[caller]:
            del self._waiting[caller], self._accounts[caller]


# So long bulk work waits for interactive work before its first batch.
AGEING_SECONDS: Final = 2.0
# After a batch of bulk work, interactive work has so many times its duration.
_OTHER_SHARES: Final = 9
# How many of the units that are due a batch is chosen from: enough for like lengths, and sorted in well
# under 1 ms.
_SIGHT: Final = 512


# How many batches' worth of one text waits at once where batches are padded: so many that like lengths
# meet.
_TURN_BATCHES: Final = 4


class Lanes(Generic[Payload, Output, Result]):
    """Waiting units. Holds no lock: its owner does. budget: of the batches to be made."""

    __slots__ = ("_budget", "_bulk", "_bulk_pause", "_bulk_until", "_interactive", "_took", "_turn")

    def __init__(self, budget: BatchBudget) -> None:
        self._budget = budget
        self._turn = _TURN_BATCHES if budget.padded else 1
        self._interactive: FairLane[Payload, Output, Result] = FairLane()
        self._bulk: FairLane[Payload, Output, Result] = FairLane()
        self._took: tuple[FairLane[Payload, Output, Result] | None, float] = (None, 0.0)
        self._bulk_until = 0.0  # when the last batch of bulk work ended
        self._bulk_pause = AGEING_SECONDS

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)

    def add(self, item: Item[Payload, Output, Result]) -> None:
        """Puts a text's units, or the next of many, into its job's lane."""
        job, units = item.job, item.prepared.units
        lane = self._bulk if job.lane is Lane.BULK else self._interactive
        start, length = item.queued, 0
        while item.queued < len(units):
            length += units[item.queued].length
            count = item.queued - start
            if count and (
                length > self._turn * self._budget.length or count >= self._turn * self._budget.units
            ):
                break
            lane.add(Entry(item, item.queued, job.arrived))
            item.queued += 1
        item.in_lane += item.queued - start

    def clear(self) -> None:
        """Forgets all that waits."""
        self._interactive.clear()
        self._bulk.clear()

    def take(self, now: float) -> tuple[list[Entry[Payload, Output, Result]], set[Job[Result]]]:
        """Removes and returns the next batch, of one lane, and the jobs whose deadline was found to have passed.

        Called when the batch before has been computed. Units of cancelled, settled and expired jobs that stand in the
        way leave the lane without being computed.
        """
        self._note_end(now)
        expired: set[Job[Result]] = set()

        def dead(entry: Entry[Payload, Output, Result]) -> bool:
            job = entry.item.job
            if not entry.item.over and not job.expired(now):
                return False
            if not entry.item.over:
                expired.add(job)
            return True

        for lane in (self._interactive, self._bulk):
            lane.drop(dead)
        lane = self._next_lane(now)
        seen = lane.take(_SIGHT, dead)
        chosen = cut_batch([entry.unit.length for entry in seen], self._budget)
        for position in chosen:
            self._follow(seen[position].item)
        lane.give_back(seen, set(chosen))
        if chosen:
            self._took = (lane, now)
        return [seen[position] for position in chosen], expired

    def _follow(self, item: Item[Payload, Output, Result]) -> None:
        """One of a text's units was taken; after the last of them the next come."""
        item.in_lane -= 1
        if not item.in_lane:
            self.add(item)

    def _note_end(self, now: float) -> None:
        lane, began = self._took
        self._took = (None, now)
        if lane is self._bulk:
            self._bulk_until, self._bulk_pause = now, (now - began) * _OTHER_SHARES

    def _next_lane(self, now: float) -> FairLane[Payload, Output, Result]:
        if not self._bulk:
            self._bulk_pause = AGEING_SECONDS
            return self._interactive
        if not self._interactive:
            return self._bulk
        since = max(self._bulk.oldest, self._bulk_until)
        return self._bulk if now >= since + self._bulk_pause else self._interactive
