"""The units that wait for one model, in two lanes: what somebody waits for, then work in bulk, until that has aged."""

from __future__ import annotations

from collections import deque
from typing import Generic

from qda_worker.models.base import BatchBudget, Output, Payload
from qda_worker.scheduling.batching import cut_batch
from qda_worker.scheduling.work import Entry, Item, Job, Lane, Result

AGEING_SECONDS = 2.0
"""Bulk work goes before interactive work that came this much later: so it is never kept waiting for ever."""
_SIGHT = 512
"""How many of the oldest units a batch is chosen from: enough for like lengths, and sorted in well under 1 ms."""


class Lanes(Generic[Payload, Output, Result]):
    """Waiting units, oldest first in each lane. Holds no lock: its owner does."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[Entry[Payload, Output, Result]]] = {lane: deque() for lane in Lane}

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def add(self, item: Item[Payload, Output, Result]) -> None:
        """Puts a text's units at the end of its job's lane."""
        job = item.job
        self._lanes[job.lane].extend(
            Entry(item, place, job.arrived) for place in range(len(item.prepared.units))
        )

    def clear(self) -> None:
        """Forgets all that waits."""
        for lane in self._lanes.values():
            lane.clear()

    def take(
        self, now: float, budget: BatchBudget
    ) -> tuple[list[Entry[Payload, Output, Result]], set[Job[Result]]]:
        """Removes and returns the next batch, of one lane, and the jobs whose deadline was found to have passed.

        Units of cancelled, settled and expired jobs that stand in the way leave the lane without being computed.
        """
        expired: set[Job[Result]] = set()
        for lane in self._lanes.values():
            self._drop_dead(lane, now, expired)
        lane = self._next_lane()
        seen = [lane.popleft() for _ in range(min(_SIGHT, len(lane)))]
        alive = [entry for entry in seen if not self._dead(entry, now, expired)]
        chosen = cut_batch([entry.unit.length for entry in alive], budget)
        batch = [alive[position] for position in chosen]
        taken = set(chosen)
        lane.extendleft(alive[position] for position in reversed(range(len(alive))) if position not in taken)
        return batch, expired

    def _next_lane(self) -> deque[Entry[Payload, Output, Result]]:
        interactive, bulk = self._lanes[Lane.INTERACTIVE], self._lanes[Lane.BULK]
        if interactive and bulk:
            return bulk if bulk[0].since + AGEING_SECONDS < interactive[0].since else interactive
        return interactive or bulk

    def _drop_dead(
        self, lane: deque[Entry[Payload, Output, Result]], now: float, expired: set[Job[Result]]
    ) -> None:
        while lane and self._dead(lane[0], now, expired):
            lane.popleft()

    @staticmethod
    def _dead(entry: Entry[Payload, Output, Result], now: float, expired: set[Job[Result]]) -> bool:
        job = entry.item.job
        if entry.item.over:
            return True
        if job.expired(now):
            expired.add(job)
            return True
        return False
