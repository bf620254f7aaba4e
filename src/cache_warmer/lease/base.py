"""Leases: the right to write to a cache, held by one process at a time.

`Lease` is what a command uses. `FileLease` is a lock on a file of the cache (`flock`), for all writers on one machine.
The system releases it when its holder ends, however that ends, so it is never taken over because of its age. Some
network file systems have no such locks; then the lease excludes no other writer. Correctness does not depend on it:
bodies are verified and appear by rename. It avoids duplicate work.

`LeaseApi` is what `cluster_lease` needs of an API server: one Lease object of coordination.k8s.io/v1 that can be
read, created, and replaced only by a writer that has seen its last version (optimistic concurrency by
`resourceVersion`). Its three errors separate what another try can fix from what it cannot.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
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
from model_cache.formatting import printable
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
        path: of the file. It stays after the release, and names its last holder.
        timeout: seconds to wait for another holder.
        clock: seconds, for the timeout.
        sleep: waits that many seconds; raises if the run is to stop.
        notify: called once with a sentence about the holder that is waited for.
        lease_uid: uid of the cluster's Lease that this process holds already; empty: none. Another process that has
            locked the file under the same Lease has lost it, suspended perhaps, and is not waited for.
    """

    path: Path
    timeout: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    notify: Callable[[str], None]
    lease_uid: str = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it.

        Raises:
            LeaseHeld: another process holds it for longer than the timeout.
            OSError: the file cannot be opened.
        """
        atomic.make_folders(self.path.parent, CacheBoundary(self.path.parent))
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(self.path, flags, 0o644)
        try:
            if self._acquire(descriptor):
                with contextlib.suppress(OSError):  # on a full disk the lock works without a name in it
                    atomic.apply_cache_mode(descriptor, self.path.parent)
                    os.ftruncate(descriptor, 0)
                    write_at(descriptor, self._holder_document(), 0)
            yield
        finally:
            os.close(descriptor)

    def check(self) -> None:
        """Do nothing: a lock of the system is held until its file is closed."""

    def _acquire(self, descriptor: int) -> bool:
        """Wait for the lock. Returns False if its holder has lost its right to write to this process."""
        start, notified = self.clock(), False
        while try_lock(descriptor) is LockResult.HELD_BY_ANOTHER:
            holder, lease_uid = _read_holder(descriptor)
            if self.lease_uid and lease_uid == self.lease_uid:
                return False
            if self.clock() - start >= self.timeout:
                raise LeaseHeld(
                    f"another warmer writes to this cache: {holder}",
                    "wait for it to end, or give --wait a longer time",
                )
            if not notified:
                self.notify(f"waiting for another warmer: {holder}")
                notified = True
            self.sleep(_POLL_SECONDS)
        return True

    def _holder_document(self) -> bytes:
        document = {"pid": os.getpid(), "host": socket.gethostname(), "lease": self.lease_uid}
        return json.dumps(document).encode() + b"\n"


def _read_holder(descriptor: int) -> tuple[str, str]:
    """Return the holder of the lock, for people, and the uid of the Lease that it claims to hold."""
    try:
        document = parse_json_object(read_at(descriptor, _MAX_HOLDER_BYTES, 0))
        holder = f"process {int(document['pid'])} on {printable(str(document['host'])[:100])}"
        return holder, str(document.get("lease", ""))
    except (
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        OSError,
    ):  # it has the lock and has not written yet
        return "a process that has not given its name", ""


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
    """

    holder: str
    duration_seconds: int
    transitions: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    resource_version: str = ""
    uid: str = ""


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
