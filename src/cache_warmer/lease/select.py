"""The lease that fits the place: a locked file on a host; a Lease and the locked file in a cluster.

Both in a cluster, because a volume may be mounted by others than the pods of its claim: another namespace, another
cluster, a host. The Lease decides among the pods; the file keeps those others out, where the volume has locks.
"""

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cache_warmer.errors import LeaseForbidden
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import LEASE, NAMESPACE
from cache_warmer.kubernetes.leases import ClusterLeaseApi
from cache_warmer.lease.base import FileLease, Lease, LeaseApi
from cache_warmer.lease.cluster_lease import ClusterLease, LeaseDeps, LeaseTiming, seconds_since_boot
from cache_warmer.transfer.pool import Stop
from model_cache.places import HOST, Places


@dataclass(slots=True)
class ClaimLease:
    """A Lease of a cluster, then the lock on a file of the volume.

    Attributes:
        path: of the file.
        name, who, patience, around, pace: see `ClusterLease`.
        connect: makes the way to the API server, when the lease is wanted: that takes a second.
    """

    path: Path
    name: str
    who: str
    patience: float
    around: LeaseDeps
    connect: Callable[[], LeaseApi]
    pace: LeaseTiming = field(default_factory=LeaseTiming)
    _cluster: ClusterLease | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for both and hold them. Raises `LeaseError`, `OSError`."""
        start = self.around.clock()
        lease = self._cluster = ClusterLease(
            self.name, self.who, self.connect(), self.patience, self.around, self.pace
        )
        with lease.held():
            left = max(0.0, self.patience - (self.around.clock() - start))
            around = self.around
            with FileLease(self.path, left, around.clock, around.sleep, around.tell, lease.uid).held():
                yield

    def check(self) -> None:
        """Raise `LeaseLost` if the Lease is another's by now."""
        if self._cluster is not None:
            self._cluster.check()


def lease_for(
    places: Places, patience: float, environ: Mapping[str, str], stop: Stop, tell: Callable[[str], None]
) -> Lease:
    """Return the lease of a cache; nobody is asked yet.

    Args:
        places: of the cache.
        patience: seconds to wait for another holder.
        environ: says, in a pod of the chart, which Lease it is.
        stop: ends the run; set when the Lease is lost.
        tell: called with a sentence about a holder that is waited for.
    """
    path = places.own.path / "lock"
    namespace, name = environ.get(NAMESPACE, ""), environ.get(LEASE, "")
    if places.label == HOST or not namespace or not name:
        return FileLease(path, patience, time.monotonic, stop.sleep, tell)
    who = f"{socket.gethostname()}_{uuid.uuid4().hex[:12]}"
    around = LeaseDeps(seconds_since_boot, lambda: datetime.now(UTC), stop.sleep, tell, stop.set)
    return ClaimLease(path, f"{namespace}/{name}", who, patience, around, partial(_connect, namespace, name))


def _connect(namespace: str, name: str) -> LeaseApi:
    from kubernetes.config import ConfigException

    try:
        return ClusterLeaseApi(client.pod_client(), namespace, name)
    except ConfigException as error:
        raise LeaseForbidden(
            f"the Lease {namespace}/{name} cannot be reached: {str(error).splitlines()[0]}",
            f"mount the token of a service account that may use it; without {LEASE} a file lock guards the cache",
        ) from error
