"""The reasons of failures, shared by all programs, log records, metrics, Events and status details.

A reason is the same word wherever it appears, and has one exit code. Monitoring, a Job's `podFailurePolicy` and scripts
rely on these numbers: new ones may be added, existing ones must never change.
"""

from enum import StrEnum
from typing import Final

# Exit code of a program that SIGTERM ended (128 + 15); its reason is `INTERRUPTED`.
EXIT_TERMINATED: Final = 143


class Reason(StrEnum):
    """Why a program ended with its exit code, or what is wrong with a model or a file."""

    OK = "OK"
    USAGE = "USAGE"
    CATALOG_INVALID = "CATALOG_INVALID"
    CACHE_INCOMPLETE = "CACHE_INCOMPLETE"
    CACHE_CORRUPT = "CACHE_CORRUPT"
    MODEL_UNUSABLE = "MODEL_UNUSABLE"
    CATALOG_DRIFTED = "CATALOG_DRIFTED"
    GATE_FAILED = "GATE_FAILED"
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
    VOLUME_UNAVAILABLE = "VOLUME_UNAVAILABLE"
    LEASE_HELD = "LEASE_HELD"
    LEASE_LOST = "LEASE_LOST"
    INTERNAL = "INTERNAL"
    INTERRUPTED = "INTERRUPTED"

    @property
    def exit_code(self) -> int:
        """The exit code of a process. `INTERRUPTED` has 130 (SIGINT); after SIGTERM it is `EXIT_TERMINATED`."""
        return _EXIT_CODES[self]

    @property
    def retryable(self) -> bool:
        """Whether running the same command again, without any other change, can succeed."""
        return self in _RETRYABLE


_EXIT_CODES: Final = {
    Reason.OK: 0,
    Reason.USAGE: 2,
    Reason.CATALOG_INVALID: 3,
    Reason.CACHE_INCOMPLETE: 10,
    Reason.CACHE_CORRUPT: 11,
    Reason.MODEL_UNUSABLE: 12,
    Reason.CATALOG_DRIFTED: 13,
    Reason.GATE_FAILED: 14,
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
    Reason.VOLUME_UNAVAILABLE: 33,
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
        Reason.VOLUME_UNAVAILABLE,
        Reason.LEASE_HELD,
        Reason.LEASE_LOST,
        Reason.INTERRUPTED,
    }
)
