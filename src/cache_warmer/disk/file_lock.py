"""Exclusive lock on an open file by `flock`, which the system releases when its holder dies.

A module of its own because Windows has no `fcntl`, and some file systems have no locks: both are a result, not an
error.
"""

from enum import Enum, auto

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module or None


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
