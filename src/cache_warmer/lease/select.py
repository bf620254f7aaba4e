"""Selects the lease of a cache: a locked file, or in a cluster a Lease object and the locked file.

In a cluster both are held, because others than the pods of a claim may mount its volume: another namespace, another
cluster, a host. The Lease decides among the pods. The file keeps out the others, where the volume has locks.
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
from cache_warmer.kubernetes.leases import ClusterLeaseApi
from cache_warmer.kubernetes.pod import CLAIM, LEASE, NAMESPACE
from cache_warmer.lease.base import FileLease, Lease, LeaseApi
from cache_warmer.lease.cluster_lease import ClusterLease, LeaseDeps, LeaseTiming, seconds_since_boot
from cache_warmer.transfer.pool import Stop
from model_cache.places import HOST, Places


@dataclass(slots=True)
class ClaimLease:
    """The Lease object of a claim, then the lock on a file of its volume.

    Attributes:
        path: of the file.
        name, identity, timeout, deps, timing: see `ClusterLease`.
        connect: returns access to the Lease; called when the lease is acquired, because it takes a second.
    """

    path: Path
    name: str
    identity: str
    timeout: float
    deps: LeaseDeps
    connect: Callable[[], LeaseApi]
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    _lease: ClusterLease | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for both and hold them. The timeout is for both together.

        Raises:
            LeaseError: one of them cannot be acquired, or the Lease was lost.
            OSError: the file cannot be opened.
        """
        deps, start = self.deps, self.deps.clock()
        lease = ClusterLease(self.name, self.identity, self.connect(), self.timeout, deps, self.timing)
        self._lease = lease
        with lease.held():
            left = max(0.0, self.timeout - (deps.clock() - start))
            with FileLease(
                self.path,
                left,
                deps.clock,
                deps.sleep,
                deps.notify,
                lease_uid=lease.uid,
                identity=self.identity,
                superseded=lease.superseded,
            ).held():
                yield

    def check(self) -> None:
        """Confirm that the Lease is still held.

        Raises:
            LeaseLost: another process took over.
        """
        if self._lease is not None:
            self._lease.check()


def select_lease(
    places: Places, timeout: float, environ: Mapping[str, str], stop: Stop, notify: Callable[[str], None]
) -> Lease:
    """Return the lease of a cache, without acquiring it.

    Args:
        places: of the cache.
        timeout: seconds to wait for another holder.
        environ: names the Lease, in a pod of the chart.
        stop: ends the run; set when the Lease is lost.
        notify: called with a sentence about a holder that is waited for.
    """
    path = places.own.path / "lock"
    namespace, name = environ.get(NAMESPACE, ""), environ.get(LEASE, "")
    if places.label == HOST or not namespace or not name:
        return FileLease(path, timeout, time.monotonic, stop.sleep, notify)
    identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:12]}"
    deps = LeaseDeps(seconds_since_boot, lambda: datetime.now(UTC), stop.sleep, notify, stop.set)
    connect = partial(_connect, namespace, name, environ.get(CLAIM, ""))
    return ClaimLease(path, f"{namespace}/{name}", identity, timeout, deps, connect)


def _connect(namespace: str, name: str, claim: str) -> LeaseApi:
    from kubernetes.config import ConfigException

    try:
        return ClusterLeaseApi(client.in_cluster_client(), namespace, name, claim)
    except ConfigException as error:
        raise LeaseForbidden(
            f"the Lease {namespace}/{name} cannot be reached: {str(error).splitlines()[0]}",
            f"mount the token of a service account that may use it; without {LEASE} a file lock guards the cache",
        ) from error
