"""The memory for the bodies of requests and responses: one limit for all connections, and the share of one request.

What a request takes is refused when none is left, so a client can try again later. What a response takes is counted and
never refused, because its work is done; until clients have taken their responses, new requests are refused instead.
"""

from typing import Final

from qda_worker.errors import QueueFull
from qda_worker.http.exchange import RequestRefused
from qda_worker.limits import MAX_REQUEST_BYTES

# Bytes of the bodies of all requests and responses together: sixteen of the longest requests.
MAX_BODY_MEMORY: Final = 16 * MAX_REQUEST_BYTES


class BodyMemory:
    """The memory that all bodies share.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int = MAX_BODY_MEMORY) -> None:
        self._free = limit

    @property
    def free(self) -> int:
        """Bytes that are left; negative while responses take more than there is."""
        return self._free

    def take(self, size: int) -> None:
        """Take memory for a part of a request.

        Raises:
            RequestRefused: when none is left.
        """
        if size > self._free:
            raise RequestRefused(
                429, QueueFull("the requests and responses in progress fill the memory for them")
            )
        self._free -= size

    def charge(self, size: int) -> None:
        """Take memory for a part of a response, also when none is left."""
        self._free -= size

    def give_back(self, size: int) -> None:
        """Return memory that `take` or `charge` gave."""
        self._free += size


class RequestMemory:
    """What one request has taken of the memory for bodies.

    Args:
        memory: of all requests.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._taken = 0

    def take(self, size: int) -> None:
        """Take memory for a part of the request; see `BodyMemory.take`."""
        self._memory.take(size)
        self._taken += size

    def give_back(self, size: int) -> None:
        """Return a part of what was taken."""
        size = min(size, self._taken)  # a stream may be read on after the end of its call
        self._memory.give_back(size)
        self._taken -= size

    def release(self) -> None:
        """Return all that was taken."""
        self.give_back(self._taken)
