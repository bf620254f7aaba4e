"""How much work waits, by lane, host and name: the basis of limits, deadlines and retry advice.

Work is kept as costs by length class, and its time is computed when it is asked for. So advice follows the present
estimate, not that at the arrival of the work.

Nothing here locks: `QueueState` guards it with its lock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias

from qda_worker.scheduling.jobs import Caller, Job, Lane

# Summed costs by length class, see `throughput.sum_by_class`.
Costs: TypeAlias = Mapping[int, int]
# Returns the expected seconds of some costs.
Estimate: TypeAlias = Callable[[Costs], float]

# Number of hosts, and of names of a host, that an estimate looks at. Leaving some out makes it lower, never higher.
_COUNTED: Final = 64


@dataclass(slots=True)
class Load:
    """Waiting work of one caller, or of all: texts without an outcome, bytes held, and open costs by length class."""

    texts: int = 0
    bytes: int = 0
    costs: dict[int, int] = field(default_factory=dict)

    def add(self, texts: int, size: int, costs: Costs) -> None:
        """Add work."""
        self.texts += texts
        self.bytes += size
        for key, cost in costs.items():
            self.costs[key] = self.costs.get(key, 0) + cost

    def remove(self, texts: int, size: int, costs: Costs) -> None:
        """Remove work that was added."""
        self.texts -= texts
        self.bytes -= size
        for key, cost in costs.items():
            self.costs[key] = self.costs.get(key, 0) - cost

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self.texts <= 0 and self.bytes <= 0


@dataclass(slots=True)
class _Host:
    load: Load = field(default_factory=Load)
    names: dict[str, Load] = field(default_factory=dict)


class Backlog:
    """The waiting work of a queue.

    Attributes:
        total: the load of all lanes and callers.
    """

    def __init__(self) -> None:
        self.total = Load()
        self._hosts: dict[Lane, dict[str, _Host]] = {lane: {} for lane in Lane}

    def add(self, lane: Lane, caller: Caller, texts: int, size: int, costs: Costs) -> None:
        """Add work of a caller."""
        host = self._hosts[lane].setdefault(caller.host, _Host())
        for load in (self.total, host.load, host.names.setdefault(caller.name, Load())):
            load.add(texts, size, costs)

    def remove(self, lane: Lane, caller: Caller, texts: int, size: int, costs: Costs) -> None:
        """Remove work that was added; what is not there any more is ignored."""
        host = self._hosts[lane].get(caller.host)
        name = host.names.get(caller.name) if host is not None else None
        if host is None or name is None:
            return
        for load in (self.total, host.load, name):
            load.remove(texts, size, costs)
        if name.empty:
            del host.names[caller.name]
        if host.load.empty:
            del self._hosts[lane][caller.host]

    def host_load(self, host: str) -> tuple[int, int]:
        """Return texts and bytes of a host, in both lanes."""
        loads = [hosts[host].load for hosts in self._hosts.values() if host in hosts]
        return sum(load.texts for load in loads), sum(load.bytes for load in loads)

    def caller_load(self, caller: Caller) -> tuple[int, int]:
        """Return texts and bytes of one name of a host, in both lanes."""
        hosts = [hosts[caller.host] for hosts in self._hosts.values() if caller.host in hosts]
        loads = [host.names[caller.name] for host in hosts if caller.name in host.names]
        return sum(load.texts for load in loads), sum(load.bytes for load in loads)

    def seconds_until_done(self, job: Job[Any], estimate: Estimate) -> float:
        """Estimate when a job would be done if no other work arrived.

        Hosts share the compute time equally, and names share that of their host: until the work of one is done, each
        other gets the same amount computed, or all of its work if it has less. The other lane is left out, so the
        estimate is rather too small than too large.

        Args:
            job: the job, not yet part of the backlog.
            estimate: returns the seconds of some costs.

        Returns:
            Seconds from now.
        """
        hosts, caller = self._hosts[job.lane], job.caller
        names = hosts[caller.host].names if caller.host in hosts else {}
        own = estimate(job.open_costs)
        if caller.name in names:
            own += estimate(names[caller.name].costs)
        own += sum(
            min(estimate(load.costs), own)
            for name, load in islice(names.items(), _COUNTED)
            if name != caller.name
        )
        return own + sum(
            min(estimate(host.load.costs), own)
            for key, host in islice(hosts.items(), _COUNTED)
            if key != caller.host
        )
