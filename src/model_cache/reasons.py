"""The one vocabulary of outcomes, shared by every program, log line, metric and status detail.

A reason is the same word wherever it appears, and stands for one exit code. Monitoring, a Job's
`podFailurePolicy` and scripts rely on these numbers: add to them, never change one.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a program ended as it did, or what is wrong with a model or a file."""

    OK = "OK"
    USAGE = "USAGE"
    CATALOG_INVALID = "CATALOG_INVALID"
    CACHE_INCOMPLETE = "CACHE_INCOMPLETE"
    CACHE_CORRUPT = "CACHE_CORRUPT"
    MODEL_UNUSABLE = "MODEL_UNUSABLE"
    CATALOG_DRIFTED = "CATALOG_DRIFTED"
    HUB_UNAUTHORIZED = "HUB_UNAUTHORIZED"
    HUB_NOT_FOUND = "HUB_NOT_FOUND"
    HUB_UNREACHABLE = "HUB_UNREACHABLE"
    HUB_UNTRUSTED = "HUB_UNTRUSTED"
    HUB_BUSY = "HUB_BUSY"
    HUB_STALLED = "HUB_STALLED"
    CONTENT_MISMATCH = "CONTENT_MISMATCH"
    NO_SPACE = "NO_SPACE"
    NO_PERMISSION = "NO_PERMISSION"
    VOLUME_UNSUITABLE = "VOLUME_UNSUITABLE"
    LEASE_HELD = "LEASE_HELD"
    LEASE_LOST = "LEASE_LOST"
    INTERNAL = "INTERNAL"
    INTERRUPTED = "INTERRUPTED"

    @property
    def exit_code(self) -> int:
        """The process exit status. `INTERRUPTED` is 130 (SIGINT); a program ended by SIGTERM says 143."""
        return _EXIT_CODES[self]

    @property
    def retryable(self) -> bool:
        """Whether running the same command again, with nothing else changed, can help."""
        return self in _RETRYABLE


_EXIT_CODES: Final = {
    Reason.OK: 0,
    Reason.USAGE: 2,
    Reason.CATALOG_INVALID: 3,
    Reason.CACHE_INCOMPLETE: 10,
    Reason.CACHE_CORRUPT: 11,
    Reason.MODEL_UNUSABLE: 12,
    Reason.CATALOG_DRIFTED: 13,
    Reason.HUB_UNAUTHORIZED: 20,
    Reason.HUB_NOT_FOUND: 21,
    Reason.HUB_UNREACHABLE: 22,
    Reason.HUB_UNTRUSTED: 23,
    Reason.HUB_BUSY: 24,
    Reason.HUB_STALLED: 25,
    Reason.CONTENT_MISMATCH: 26,
    Reason.NO_SPACE: 30,
    Reason.NO_PERMISSION: 31,
    Reason.VOLUME_UNSUITABLE: 32,
    Reason.LEASE_HELD: 40,
    Reason.LEASE_LOST: 41,
    Reason.INTERNAL: 50,
    Reason.INTERRUPTED: 130,
}

_RETRYABLE: Final = frozenset(
    {
        Reason.HUB_UNREACHABLE,
        Reason.HUB_BUSY,
        Reason.HUB_STALLED,
        Reason.LEASE_HELD,
        Reason.LEASE_LOST,
        Reason.INTERRUPTED,
    }
)
# Exit status of a program that SIGTERM ended: 128 + 15, reason `INTERRUPTED`.
EXIT_TERMINATED: Final = 143
