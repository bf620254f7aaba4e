"""The right to write to a cache: one holder at a time.

On one machine it is a locked file. Whether a lock ends with its holder is the system's business, so nothing
is ever taken over by age. Safety does not rest on it (bodies are verified and renamed); it saves double work.

What a lease needs of an API server: one object, that only whoever saw its last version can change.
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
from cache_warmer.errors import LeaseHeld

_POLL_SECONDS: Final = 0.25


class Lease(Protocol):
    """One writer's right."""

    def held(self) -> AbstractContextManager[None]:
        """Wait for it, hold it in the `with` block, then give it back. Raises `LeaseHeld`."""
        ...

    def check(self) -> None:
        """Raise `LeaseLost` if it is not ours any more; asked before anything is published."""
        ...


@dataclass(frozen=True, slots=True)
class FileLease:
    """A lock on a file in the cache.

    Attributes:
        path: of the file; it stays, and says who held it last.
        patience: seconds to wait for another holder.
        clock: seconds, for the patience.
        sleep: waits; raises if the run shall stop.
        tell: called once with a sentence about the holder, when there is something to wait for.
        fence: uid of the Lease of a cluster that is held already; empty: none. Whoever has the file under the same
            one has lost it, frozen perhaps, and is not waited for.
    """

    path: Path
    patience: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    fence: str = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it. Raises `LeaseHeld`, `OSError`."""
        atomic.make_folders(self.path.parent)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(self.path, flags, 0o644)
        try:
            if self._wait(descriptor):
                with contextlib.suppress(OSError):  # a full disk must not keep the lock from us
                    atomic.readable_by_all(descriptor, self.path.parent)
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, self._holder(), 0)
            yield
        finally:
            os.close(descriptor)

    def check(self) -> None:
        """A lock of the system is ours until we close it."""

    def _wait(self, descriptor: int) -> bool:
        """Wait for the lock; return whether we have it, or go on beside one that lost its right to us."""
        start, told = self.clock(), False
        while try_lock(descriptor) is LockResult.HELD_BY_ANOTHER:
            holder, fence = _said(descriptor)
            if self.fence and fence == self.fence:
                return False
            if self.clock() - start >= self.patience:
                raise LeaseHeld(
                    f"another warmer writes to this cache: {holder}",
                    "wait for it to end, or give --wait a longer time",
                )
            if not told:
                self.tell(f"waiting for another warmer: {holder}")
                told = True
            self.sleep(_POLL_SECONDS)
        return True

    def _holder(self) -> bytes:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "lease": self.fence}
        return json.dumps(holder).encode() + b"\n"


def _said(descriptor: int) -> tuple[str, str]:
    """Return who holds the lock, for people, and the Lease that it says it holds."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
        return who, str(holder.get("lease", ""))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
    ):  # it has just taken the lock and not yet written
        return "a process that has not given its name", ""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease of coordination.k8s.io/v1, as far as it matters here.

    Attributes:
        holder: who holds it; empty: nobody.
        seconds: how long after a renewal it is the holder's.
        transitions: how often it changed hands: the token that tells one holding from the next.
        acquired, renewed: by the holder's clock; None: never.
        version: what a change must have seen; empty for one that is to be created.
        uid: of the object; empty before it is created.
    """

    holder: str
    seconds: int
    transitions: int = 0
    acquired: datetime | None = None
    renewed: datetime | None = None
    version: str = ""
    uid: str = ""


class ApiConflictError(Exception):
    """Somebody else changed, made or deleted it meanwhile: read it again."""


class ApiAwayError(Exception):
    """No answer, or none that says anything about the lease; another try can help."""


class ApiRefusedError(Exception):
    """This account may not do that."""


class LeaseApi(Protocol):
    """One Lease. Each method raises `ApiAwayError` or `ApiRefusedError`."""

    def read(self) -> LeaseState | None:
        """Return it, or None if there is none."""
        ...

    def create(self, wanted: LeaseState) -> LeaseState:
        """Make it. Raises `ApiConflictError` if it is there."""
        ...

    def replace(self, wanted: LeaseState) -> LeaseState:
        """Change it. Raises `ApiConflictError` unless `wanted.version` is the present one."""
        ...
