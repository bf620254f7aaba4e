"""How slow a client may be, and how it may divide a body into chunks."""

import time
from dataclasses import dataclass
from typing import Final

# Chunks that a body may have in addition to one for every `_MIN_CHUNK_BYTES` of it. Each chunk costs as much as the
# parsing of a kilobyte, so one client with chunks of one byte would take the event loop from all others.
_SPARE_CHUNKS: Final = 1000
_MIN_CHUNK_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How slow a client may be.

    Attributes:
        head_seconds: for the head of a request, and until the first byte of a new connection.
        idle_seconds: between two requests.
        grace_seconds: without any progress of a body or a response.
        bytes_per_second: the least rate of a body and of a response.
    """

    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    grace_seconds: float = 10.0
    bytes_per_second: float = 16 * 2**10


class Patience:
    """How long the server still waits for a client to send its body, or to take its response.

    It begins with `grace_seconds`. Waiting spends it, and bytes that the client moves restore it at the least rate, but
    never beyond `grace_seconds`. So the rate holds over each such time, not over the whole body.
    """

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self.seconds = limits.grace_seconds

    def spend(self, began: float, size: int) -> None:
        """Count that the client moved `size` bytes since `began` on the monotonic clock."""
        restored = self.seconds - (time.monotonic() - began) + size / self._limits.bytes_per_second
        self.seconds = min(restored, self._limits.grace_seconds)


def has_too_many_chunks(chunks: int, size: int) -> bool:
    """Return whether a body of `size` bytes so far has come in more chunks than it may."""
    return chunks > _SPARE_CHUNKS + size // _MIN_CHUNK_BYTES
