"""Leases: the right to write to a cache, held by one process at a time.

`Lease` is what a command uses. `FileLease` is a lock on a file of the cache (`flock`), for all writers on one machine.
The system releases it when its holder ends, however that ends, so it is never taken over because of its age. Some
network file systems have no such locks; then the lease excludes no other writer. Correctness does not depend on it:
bodies are verified and appear by rename. It avoids duplicate work.

Fence: a suspended process keeps the file lock even after it lost the cluster's Lease. The new holder of that Lease may
then proceed without the file lock, but only if the lock file proves that the suspended process holds it: the file names
the Lease and the identity that this process replaced. To keep this proof valid, a process empties the file as soon as
it gets the lock, and again before it releases it. A process that proceeds without the lock records that (`lost`),
because the next holder of the Lease will have replaced this process and not the suspended one.

`LeaseApi` is what `cluster_lease` needs of an API server: one Lease object of coordination.k8s.io/v1 that can be
read, created, and replaced only by a writer that has seen its last version (optimistic concurrency by
`resourceVersion`). Its three errors separate what another try can fix from what it cannot.
"""

import contextlib
import dataclasses
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.disk.positioned_io import read_at, write_at
from cache_warmer.errors import LeaseHeld
from model_cache.containment import CacheBoundary
from model_cache.json_values import parse_json_object

# Pause between two attempts to lock the file.
_POLL_SECONDS: Final = 0.25
# Of the JSON document that the holder writes into the lock file.
_MAX_HOLDER_BYTES: Final = 4096


class Lease(Protocol):
    """The right of one process to write to a cache."""

    def held(self) -> AbstractContextManager[None]:
        """Wait for the lease, hold it in the `with` block, then release it.

        Raises:
            LeaseError: it is held by another for too long, was lost, or may not be used.
        """
        ...

    def check(self) -> None:
        """Confirm that the lease is still held; called before anything is published.

        Raises:
            LeaseLost: another process took over.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileLease:
    """A lock on a file in the cache.

    Attributes:
        path: of the lock file. It stays after the release, empty.
        timeout: seconds to wait for another holder.
        clock: seconds, for the timeout.
        sleep: waits that many seconds; raises if the run is to stop.
        notify: called once with a sentence about the holder that is waited for.
        lease_uid: uid of the cluster's Lease that this process holds already; empty: none.
        identity: of this process as a holder of that Lease; unique over all processes and restarts.
        superseded: the holder from whom this process took that Lease over, because it was silent; empty: none.
    """

    path: Path
    timeout: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    notify: Callable[[str], None]
    lease_uid: str = ""
    identity: str = ""
    superseded: str = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it.

        Raises:
            LeaseHeld: another process holds it for longer than the timeout.
            OSError: the file cannot be opened or emptied.
        """
        atomic.make_folders(self.path.parent, CacheBoundary(self.path.parent))
        flags = os.O_RDWR | os.O_CREAT
        for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY"):
            flags |= getattr(os, name, 0)
        descriptor = os.open(self.path, flags, 0o644)
        is_holder = False
        try:
            is_holder = self._acquire(descriptor)
            if is_holder:
                os.ftruncate(descriptor, 0)  # first of all: it names a former holder
                with contextlib.suppress(OSError):  # a file of another user of the volume
                    atomic.apply_cache_mode(descriptor, self.path.parent)
                with contextlib.suppress(OSError):  # on a full disk the lock works without a name in it
                    write_at(descriptor, self._document(), 0)
            yield
        finally:
            if is_holder:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def check(self) -> None:
        """Do nothing: a lock of the system is held until its file is closed."""

    def _acquire(self, descriptor: int) -> bool:
        """Wait for the lock. Return whether this process got it: not without locks, or if its holder lost the Lease."""
        start, notified = self.clock(), False
        former: _Holder | None = None
        while True:
            result = try_lock(descriptor)
            if result is not LockResult.HELD_BY_ANOTHER:
                return result is LockResult.TAKEN
            holder = _read_holder(descriptor)
            has_lost = self._has_lost(holder)
            # read twice: a new holder empties the file right after it got the lock
            if has_lost and holder == former:
                self._mark_as_lost(descriptor, holder)
                return False
            former = holder
            if not has_lost and self.clock() - start >= self.timeout:
                raise LeaseHeld(
                    f"another warmer writes to this cache: {holder}",
                    "wait for it to end, or give --wait a longer time",
                )
            if not notified:
                self.notify(f"waiting for another warmer: {holder}")
                notified = True
            self.sleep(_POLL_SECONDS)

    def _has_lost(self, holder: "_Holder") -> bool:
        """Return whether the holder of the lock held this process's Lease before and lost it, suspended perhaps."""
        if not self.lease_uid or holder.lease != self.lease_uid or holder.identity in ("", self.identity):
            return False
        return holder.identity == self.superseded or holder.is_lost

    def _mark_as_lost(self, descriptor: int, holder: "_Holder") -> None:
        if not holder.is_lost:
            with contextlib.suppress(OSError):
                write_at(descriptor, _dump(dataclasses.replace(holder, is_lost=True)), 0)

    def _document(self) -> bytes:
        return _dump(_Holder(os.getpid(), socket.gethostname(), self.lease_uid, self.identity))


@dataclass(frozen=True, slots=True)
class _Holder:
    """What the lock file says of the holder of the lock; all empty: it has not written yet.

    Attributes:
        pid, host: for people.
        lease: uid of the Lease that it held when it got the lock; empty: none.
        identity: its identity as the holder of that Lease.
        is_lost: whether a successor under that Lease found that it lost it.
    """

    pid: int = 0
    host: str = ""
    lease: str = ""
    identity: str = ""
    is_lost: bool = False

    def __str__(self) -> str:
        if not self.pid:
            return "a process that has not given its name"
        return f"process {self.pid} on {self.host[:100]}"


def _dump(holder: _Holder) -> bytes:
    document = {
        "pid": holder.pid,
        "host": holder.host,
        "lease": holder.lease,
        "holder": holder.identity,
        "lost": holder.is_lost,
    }
    return json.dumps(document).encode() + b"\n"


def _read_holder(descriptor: int) -> _Holder:
    """Return what the lock file says; others may have written it, so anything may stand there."""
    try:
        document = parse_json_object(read_at(descriptor, _MAX_HOLDER_BYTES, 0))
        return _Holder(
            int(document["pid"]),
            str(document["host"]),
            str(document.get("lease", "")),
            str(document.get("holder", "")),
            document.get("lost") is True,
        )
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return _Holder()


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease of coordination.k8s.io/v1, as far as it is used here.

    Attributes:
        holder: `holderIdentity`; empty: it is free.
        duration_seconds: `leaseDurationSeconds`: how long after a renewal it is the holder's.
        transitions: `leaseTransitions`: how often it changed hands. The fencing token of one holding.
        acquire_time, renew_time: by the holder's clock; None: never.
        resource_version: the version that a replacement must have seen; empty for a Lease that is to be created.
        uid: of the object; empty before it is created.
        owners: `ownerReferences`, kept as they were read, because a replacement without them would remove them.
    """

    holder: str
    duration_seconds: int
    transitions: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    resource_version: str = ""
    uid: str = ""
    owners: tuple[Mapping[str, object], ...] = ()


class ApiConflictError(Exception):
    """Another client changed, created or deleted the Lease in the meantime: read it again."""


class ApiUnavailableError(Exception):
    """No answer, or one that tells nothing about the Lease. Another try can succeed."""


class ApiForbiddenError(Exception):
    """The account of the process lacks the permission. Another try fails, too."""


class LeaseApi(Protocol):
    """Access to one Lease object.

    Each method raises `ApiUnavailableError` or `ApiForbiddenError` if the API server cannot answer or refuses.
    """

    def read(self) -> LeaseState | None:
        """Return the Lease; None if there is none."""
        ...

    def create(self, lease: LeaseState) -> LeaseState:
        """Create the Lease, and return it as stored.

        Raises:
            ApiConflictError: it exists already.
        """
        ...

    def replace(self, lease: LeaseState) -> LeaseState:
        """Replace the Lease, and return it as stored.

        Raises:
            ApiConflictError: `lease.resource_version` is not the current one, or the Lease was deleted.
        """
        ...
