"""The request of a call by HTTP, read until the deadline of the call.

What a route reads with `receive` is refused from the head of the request where it can be, and then the body is not
read: for its deadline, by the limits and the access policy (`Call.admit_early`), for method, content type, encoding and
length. (A stream has its content type looked at before its limits, because its errors are sent in that type.) The
connection then closes, see `http.connection`. Whatever is wrong becomes an error of the call, so that it is logged and
counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from qda_worker.conversion.parse_errors import Deferred, FailedMessage
from qda_worker.errors import WorkerError
from qda_worker.http.calls import Outcome
from qda_worker.http.exchange import Exchange, RequestRefused


class _LateMessage(Deferred):
    """In place of a request that did not arrive before its deadline: the call ends while this is parsed."""

    __slots__ = ()

    def parse(self) -> Message:
        """Return no message.

        Raises:
            TimeoutError: always, in a thread whose result is not awaited.
        """
        raise TimeoutError


@dataclass(frozen=True, slots=True)
class Received:
    """A request as far as it arrived, for `Call.run`.

    Attributes:
        request: the request, or what stands in its place.
        deadline: on the monotonic clock; None without one.
        refused: why HTTP itself refuses it, if it does.
    """

    request: Any
    deadline: float | None = None
    refused: RequestRefused | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def refusal(self, outcome: Outcome) -> RequestRefused | None:
        """Return why HTTP refused the call, if that is how it ended: it may have failed for another reason first."""
        refused = self.refused
        return refused if refused is not None and outcome.message == str(refused.error) else None


async def receive(
    read_deadline: Callable[[Exchange], float | None],
    exchange: Exchange,
    read: Callable[[], Awaitable[Any]],
) -> Received:
    """Read the request of a call until its deadline. What is wrong with it becomes an error of the call.

    Args:
        read_deadline: returns the deadline of a request on the monotonic clock.
        exchange: the request.
        read: returns what `Call.run` is given.
    """
    deadline: float | None = None
    try:
        deadline = read_deadline(exchange)
        timeout = asyncio.timeout(None if deadline is None else deadline - time.monotonic())
        try:
            async with timeout:
                return Received(await read(), deadline)
        except TimeoutError:
            if not timeout.expired():
                raise
            return Received(_LateMessage(), deadline)
    except RequestRefused as refused:
        return Received(FailedMessage(refused.error), deadline, refused)
    except WorkerError as error:
        return Received(FailedMessage(error), deadline)
