"""One HTTP request and its response, as a route sees them.

A route is a coroutine function that receives an `Exchange` and returns a `Response`; it runs in an asyncio task of its
own, which is cancelled when the client disconnects. A route whose response is a stream calls `Exchange.stream` instead
and returns None.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from qda_worker.errors import ArgumentInvalid, RequestTooLarge, WorkerError

# Header names in lower case, with their values.
HeaderList: TypeAlias = Sequence[tuple[str, str]]

JSON_TYPE: Final = "application/json"


class RequestRefused(Exception):
    """A request that HTTP itself does not allow, before any method sees it.

    Attributes:
        status: the HTTP status.
        error: what is wrong, as a client receives it.
        headers: further headers of the response.
    """

    def __init__(self, status: int, error: WorkerError, headers: HeaderList = ()) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = headers


class ClientDisconnected(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of a connection.

    Attributes:
        address: as gRPC writes it, so that a caller is the same one on both ports: `ipv4:10.0.0.1:50000`.
        certificate: its certificate as `ssl.SSLSocket.getpeercert` returns it; empty without mutual TLS.
    """

    address: str
    certificate: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response.

    Attributes:
        status: the HTTP status.
        body: its body.
        headers: headers; the length is added.
    """

    status: int
    body: bytes = b""
    headers: HeaderList = ()


class Memory(Protocol):
    """The memory that the body of one request takes; returned when the request has been answered."""

    def take(self, size: int) -> None:
        """Take memory for a part of the body.

        Raises:
            RequestRefused: when none is left.
        """

    def give_back(self, size: int) -> None:
        """Return a part of it early."""


class Transport(Protocol):
    """What an exchange needs from its connection.

    Attributes:
        memory: for the body of this request.
    """

    @property
    def memory(self) -> Memory: ...

    def body(self, *, streamed: bool = False) -> AsyncIterator[bytes]:
        """Return the body of the request in parts as they arrive.

        Args:
            streamed: whether the route bounds the silence between its messages itself; else the whole body has to
                arrive at a minimum rate.
        """

    async def start(self, status: int, headers: HeaderList) -> None:
        """Send the head of a response whose length is unknown."""

    async def write(self, data: bytes) -> None:
        """Send a part of that response."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, with the means to read its body and to stream a response.

    Attributes:
        method: as `POST`.
        path: without the query; percent-encoding is not decoded.
        query: what follows the question mark; empty without one.
        headers: names in lower case.
        peer: the client.
        transport: the connection.
        response_headers: headers that every response to this request has.
    """

    method: str
    path: str
    query: str
    headers: HeaderList
    peer: Peer
    transport: Transport
    response_headers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str:
        """Return the value of a header; values of a header that is repeated are joined; empty without it."""
        return ", ".join(value for key, value in self.headers if key == name)

    def check_length(self, limit: int) -> None:
        """Refuse a body by the length in the head of the request, before any of it is read.

        Raises:
            RequestRefused: when it is longer than `limit` bytes.
        """
        length = self.header("content-length")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)

    async def read(self, limit: int) -> bytes:
        """Return the whole body of the request.

        Args:
            limit: of its bytes.

        Raises:
            RequestRefused: when it is longer, or arrives too slowly.
            ClientDisconnected: when the client closed the connection before its end.
        """
        self.check_length(limit)
        parts, size = [], 0
        async for part in self.transport.body():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            self.transport.memory.take(len(part))
            parts.append(part)
        return b"".join(parts)

    async def stream(self, status: int, headers: HeaderList) -> Callable[[bytes], Awaitable[None]]:
        """Begin a response whose length is unknown; return the function that sends its parts."""
        await self.transport.start(status, [*headers, *self.response_headers])
        return self.transport.write


Route: TypeAlias = Callable[[Exchange], Awaitable[Response | None]]


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(
        413,
        RequestTooLarge(f"the body of the request is longer than {limit} bytes"),
    )


def require_get(exchange: Exchange) -> None:
    """Refuse all methods but GET, and HEAD, whose response is that of GET without its body.

    Raises:
        RequestRefused: for another method.
    """
    if exchange.method not in ("GET", "HEAD"):
        raise RequestRefused(
            405,
            ArgumentInvalid("this path is read with GET", "send a GET"),
            [("allow", "GET, HEAD, OPTIONS")],
        )
