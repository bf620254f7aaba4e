"""The waiting units of one lane, shared fairly between hosts, and below each host between its names.

Start-time fair queuing (Goyal, Vin and Cheng, 1996), in a tree of two levels. Every account (a host, or a name of a
host) has a virtual time that grows by the length of its computed units; the host with the least is next, and of that
host the name with the least. So a caller with 10,000 texts does not delay a caller with 10, and names, which callers
choose freely, only divide the share of their host.

Memory of accounts: an account whose units are all computed starts its next unit at the later of its own virtual time
and the clock of its level, which is the start of the unit served last. So being idle earns no credit, and a caller that
sends one long text at a time keeps the usage that it has caused. An account is dropped when the clock has passed it, or
when the lane is found empty. A host has at most `MAX_NAMES` accounts of names; further names share one.

Cost: accounts are in heaps, units in a linked order. Taking a batch, adding a unit and removing a text take time
logarithmic in the number of accounts, whatever waits. Nothing here locks: `QueueState` guards it with its lock.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any, Final, Generic, TypeAlias, TypeVar

from qda_worker.models.base import Output, Payload
from qda_worker.scheduling.jobs import QueuedUnit, Result, TextItem

# Accounts of names that one host may have at a time.
MAX_NAMES: Final = 64
# Key of the account that all further names of a host share. No caller has it: it is not a valid value of gRPC metadata.
_OTHER_NAMES: Final = "\n"

Child = TypeVar("Child", bound="_Account")
_Units: TypeAlias = (
    "OrderedDict[TextItem[Payload, Output, Result], deque[QueuedUnit[Payload, Output, Result]]]"
)


class _Account:
    """A host or a name.

    Attributes:
        key: its key among its siblings.
        start: virtual time at which its next unit starts.
        size: number of its waiting units.
        in_heap: whether it is in the heap of its level.
    """

    __slots__ = ("in_heap", "key", "size", "start")

    def __init__(self, key: str, start: int) -> None:
        self.key = key
        self.start = start
        self.size = 0
        self.in_heap = False


class _Level(Generic[Child]):
    """Accounts that share equally: the hosts of a lane, or the names of a host.

    `next` and `advance` walk through the accounts in the order of their tentative virtual times, without changing
    `_Account.start`; `restore` ends such a walk and puts the visited accounts back by their real virtual times.

    Attributes:
        children: the accounts by key, those with units and those that are kept without.
        visited: the accounts that the present walk has met.
    """

    __slots__ = ("_active", "_clock", "_idle", "_order", "_walk", "children", "visited")

    def __init__(self) -> None:
        self.children: dict[str, Child] = {}
        self._clock = 0
        self._order = count()  # breaks ties: first come, first served
        self._active: list[tuple[int, int, Child]] = []  # heap of accounts with units, by virtual time
        self._idle: list[tuple[int, int, Child]] = []  # heap of accounts without units, by virtual time
        self._walk: list[tuple[int, int, Child]] = []  # heap of visited accounts, by tentative virtual time
        self.visited: list[Child] = []

    def activate(self, child: Child) -> None:
        """Add an account that has just got a unit."""
        if not child.in_heap:
            child.start = max(child.start, self._clock)
            self._push(child)

    def account(self, key: str, create: Callable[[str, int], Child]) -> Child:
        """Return the account of a key, a new one if there is none."""
        child = self.children.get(key)
        if child is None:
            child = self.children[key] = create(key, self._clock)
        return child

    def next(self) -> Child | None:
        """Return the account that is due next in this walk; None if no account has units left."""
        walk, active = self._walk, self._active
        while active and (not walk or active[0] < walk[0]):
            start, order, child = heappop(active)
            child.in_heap = False
            self.visited.append(child)
            if child.size:
                heappush(walk, (start, order, child))
        return walk[0][2] if walk else None

    def advance(self, length: int) -> None:
        """Charge the account that `next` returned tentatively."""
        start, order, child = self._walk[0]
        if child.size:
            heapreplace(self._walk, (start + length, order, child))
        else:
            heappop(self._walk)

    def restore(self, clock: int | None) -> None:
        """End a walk.

        Args:
            clock: virtual time of the account that was served first; None if none was served.
        """
        if clock is not None:
            self._clock = max(self._clock, clock)
        for child in self.visited:
            if child.size:
                self._push(child)
            else:
                heappush(self._idle, (child.start, next(self._order), child))
        self._walk.clear()
        self.visited.clear()
        while self._idle and self._idle[0][0] <= self._clock:
            child = heappop(self._idle)[2]
            if not child.size and child.start <= self._clock and self.children.get(child.key) is child:
                del self.children[child.key]

    def _push(self, child: Child) -> None:
        child.in_heap = True
        heappush(self._active, (child.start, next(self._order), child))


class _Name(_Account, Generic[Payload, Output, Result]):
    """The units of one name, the oldest text first; each text has its units in order."""

    __slots__ = ("units",)

    def __init__(self, key: str, start: int) -> None:
        super().__init__(key, start)
        self.units: _Units[Payload, Output, Result] = OrderedDict()

    def append(self, queued: QueuedUnit[Payload, Output, Result]) -> None:
        self.units.setdefault(queued.item, deque()).append(queued)
        self.size += 1

    def pop(self) -> QueuedUnit[Payload, Output, Result]:
        item = next(iter(self.units))
        units = self.units[item]
        queued = units.popleft()
        if not units:
            del self.units[item]
        self.size -= 1
        return queued

    def put_back(self, queued: QueuedUnit[Payload, Output, Result]) -> None:
        """Undo the last `pop` that is not undone."""
        if queued.item not in self.units:
            self.units[queued.item] = deque()
            self.units.move_to_end(queued.item, last=False)
        self.units[queued.item].appendleft(queued)
        self.size += 1


class _Host(_Account):
    """The names of one host."""

    __slots__ = ("names",)

    def __init__(self, key: str, start: int) -> None:
        super().__init__(key, start)
        self.names: _Level[_Name[Any, Any, Any]] = _Level()

    def account(self, name: str) -> _Name[Any, Any, Any]:
        """Return the account of a name, which is the common one if this host has too many."""
        known = self.names.children
        if name not in known and len(known) >= MAX_NAMES:
            name = _OTHER_NAMES
        return self.names.account(name, _Name)


class FairLane(Generic[Payload, Output, Result]):
    """The waiting units of one lane; see the module.

    Taking a batch has two steps: `take` removes candidates in their order, and `commit` puts back those that were not
    selected and charges the accounts of those that were.

    Attributes:
        active_since: arrival of the unit that found the lane empty, in seconds of the queue's clock.
    """

    __slots__ = ("_hosts", "_size", "_taken", "active_since")

    def __init__(self) -> None:
        self._hosts: _Level[_Host] = _Level()
        self._size = 0
        self._taken: list[tuple[_Host, _Name[Payload, Output, Result]]] = []  # accounts of the candidates
        self.active_since = 0.0

    def __len__(self) -> int:
        return self._size

    @property
    def accounts(self) -> int:
        """Number of hosts and names that have an account."""
        hosts = self._hosts.children.values()
        return len(hosts) + sum(len(host.names.children) for host in hosts)

    def add(self, queued: QueuedUnit[Payload, Output, Result]) -> None:
        """Append a unit to those of its caller."""
        caller = queued.item.job.caller
        host = self._hosts.account(caller.host, _Host)
        name = host.account(caller.name)
        if not self._size:
            self.active_since = queued.arrival
        name.append(queued)
        host.size += 1
        self._size += 1
        host.names.activate(name)
        self._hosts.activate(host)

    def remove(self, item: TextItem[Payload, Output, Result]) -> None:
        """Remove the units of a text, if it has any here."""
        host = self._hosts.children.get(item.job.caller.host)
        if host is None:
            return
        for key in (item.job.caller.name, _OTHER_NAMES):
            name = host.names.children.get(key)
            units = name.units.pop(item, None) if name is not None else None
            if name is not None and units is not None:
                name.size -= len(units)
                host.size -= len(units)
                self._size -= len(units)

    def take(
        self, limit: int, is_dead: Callable[[QueuedUnit[Payload, Output, Result]], bool]
    ) -> list[QueuedUnit[Payload, Output, Result]]:
        """Remove units in the order in which they are due, and return up to `limit` of those that are not dead.

        `commit` must follow.
        """
        candidates: list[QueuedUnit[Payload, Output, Result]] = []
        while len(candidates) < limit and (host := self._hosts.next()) is not None:
            name = host.names.next()
            if name is None:  # never: a host with units has a name with units
                break
            queued = name.pop()
            host.size -= 1
            self._size -= 1
            length = 0
            if not is_dead(queued):
                candidates.append(queued)
                self._taken.append((host, name))
                length = max(queued.unit.length, 1)
            host.names.advance(length)
            self._hosts.advance(length)
        return candidates

    def commit(
        self, candidates: list[QueuedUnit[Payload, Output, Result]], selected: Collection[int]
    ) -> None:
        """Finish a `take`.

        Args:
            candidates: what `take` returned.
            selected: positions of the candidates that will be computed. The others go back to the front.
        """
        first: dict[_Host, int] = {}  # the clock of the names of each host: where its first candidate started
        for host, name in self._taken:
            first.setdefault(host, name.start)
        clock = self._taken[0][0].start if self._taken else None
        for position in reversed(range(len(candidates))):
            queued, (host, name) = candidates[position], self._taken[position]
            if position in selected:
                length = max(queued.unit.length, 1)
                host.start += length
                name.start += length
            else:
                name.put_back(queued)
                host.size += 1
                self._size += 1
        for host in self._hosts.visited:
            host.names.restore(first.get(host))
        self._hosts.restore(clock)
        self._taken.clear()

    def end_busy_period(self) -> None:
        """Drop all accounts if no unit waits: there is no usage to balance then."""
        if not self._size:
            self._hosts = _Level()

    def clear(self) -> None:
        """Remove every unit and every account."""
        self._hosts = _Level()
        self._size = 0
