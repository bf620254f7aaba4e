"""Exclusive lock on an open file by `flock`, which the system releases when its holder dies.

A module of its own because Windows has no `fcntl`, and some file systems have no locks: both are a result, not an
error.
"""

import os
import time
from enum import Enum, auto
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module or None


# Seconds without a write after which a file counts as abandoned if its lock cannot tell. Longer than a transfer pauses:
# six stalls of a minute, or a `Retry-After` of two minutes.
ABANDONED_SECONDS: Final = 600.0


class LockResult(Enum):
    """Outcome of an attempt to lock."""

    TAKEN = auto()
    HELD_BY_ANOTHER = auto()
    NOT_POSSIBLE = auto()


def try_lock(descriptor: int) -> LockResult:
    """Lock an open file without waiting; the lock lasts until the descriptor is closed."""
    if fcntl is None:
        return LockResult.NOT_POSSIBLE
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockResult.HELD_BY_ANOTHER
    except OSError:  # no locks on this file system
        return LockResult.NOT_POSSIBLE
    return LockResult.TAKEN


def is_abandoned(path: Path) -> bool:
    """Return whether the process that locked a file while it wrote to it has ended.

    Where there are no locks, a file that was not written for `ABANDONED_SECONDS` counts as abandoned.

    Raises:
        OSError: the file cannot be opened.
    """
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        result = try_lock(descriptor)
        is_old = time.time() - os.fstat(descriptor).st_mtime > ABANDONED_SECONDS
    finally:
        os.close(descriptor)
    return result is LockResult.TAKEN or (result is LockResult.NOT_POSSIBLE and is_old)
