"""One lane's waiting units, shared fairly between callers: who sends 10,000 texts delays nobody who sends 10.

Start-time fair queuing: each caller's account shows how much was computed for it, and the one with the least is next.
A caller that comes (back) starts at the account of the last one served, so that idleness earns nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heapreplace
from typing import Generic

from qda_worker.models.base import Output, Payload
from qda_worker.scheduling.work import Entry, Result


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
