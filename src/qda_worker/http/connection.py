"""One connection of the HTTP port: HTTP/1.1 and 1.0 by h11, one request after the other.

h11 parses and writes the protocol and refuses what is malformed or ambiguous; this module moves bytes between it and
asyncio's streams, and bounds how long a client may take, and how much memory the bodies of all clients take together
(`BodyMemory`):

- the head of a request, from its first byte, and the first byte of a new connection (`ClientLimits.head_seconds`);
- the pause between two requests (`idle_seconds`);
- a body, and the time to take a response: `grace_seconds`, and beyond them a minimum rate (`bytes_per_second`).

Each request is answered in a task of its own, which is cancelled when the client disconnects. While it runs, the next
bytes of the client are read once, at most `_CHUNK_BYTES`: that detects the disconnection, and holds what a client sends
ahead (pipelining) until its turn. Reads are never cancelled, so that no byte is lost.

A response that is sent before the request has been read whole ends the connection. It is then read on for a moment
(`_LINGER_SECONDS`), because closing a socket with unread bytes makes the system discard the response.
"""

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, Final

import h11

from qda_worker.errors import ArgumentInvalid, QueueFull, StreamIdle, WorkerError
from qda_worker.http.exchange import (
    JSON_TYPE,
    ClientDisconnected,
    Exchange,
    HeaderList,
    Peer,
    RequestRefused,
    Response,
    Route,
)
from qda_worker.limits import MAX_REQUEST_BYTES
from qda_worker.observability.logs import Log

# Bytes of the head of a request, and of the line of a chunk.
MAX_HEAD_BYTES: Final = 32 * 2**10
# Bytes of the bodies of all requests together: sixteen of the longest.
MAX_BODY_MEMORY: Final = 16 * MAX_REQUEST_BYTES
_VERSIONS: Final = (b"1.0", b"1.1")
_CHUNK_BYTES: Final = 64 * 2**10
_LINGER_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How slow a client may be; see the module."""

    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    grace_seconds: float = 10.0
    bytes_per_second: float = 16 * 2**10

    def seconds(self, size: int) -> float:
        """Return how long this many bytes may take."""
        return self.grace_seconds + size / self.bytes_per_second


class BodyMemory:
    """The memory for the bodies of all requests that are being read or answered.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int = MAX_BODY_MEMORY) -> None:
        self._free = limit

    def take(self, size: int) -> None:
        """Take memory for a part of a body.

        Raises:
            RequestRefused: when none is left.
        """
        if size > self._free:
            raise RequestRefused(
                429,
                QueueFull("the requests that are being read fill the memory for them"),
                [("connection", "close"), ("retry-after", "1")],
            )
        self._free -= size

    def give_back(self, size: int) -> None:
        """Return memory that `take` gave."""
        self._free += size


class Connection:
    """Serves the requests of one connection until either side closes it.

    Attributes:
        idle_since: when the last response was sent, or the connection opened; None while a request is answered.

    Args:
        streams: reader and writer of the connection.
        peer: the client.
        route: answers each request.
        log: receives `http.bug`.
        memory: for the bodies of all connections.
        keep_alive: returns whether further requests are welcome; asked before each response.
        limits: how slow the client may be.
    """

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        peer: Peer,
        route: Route,
        log: Log,
        memory: BodyMemory,
        keep_alive: Callable[[], bool] = lambda: True,
        limits: ClientLimits | None = None,
    ) -> None:
        self._reader, self._writer = streams
        self._peer = peer
        self._route = route
        self._log = log
        self._memory = memory
        self._limits = limits or ClientLimits()
        self._keep_alive = keep_alive
        self._body_bytes = 0  # taken from the memory for bodies
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._reading: asyncio.Future[bytes] | None = None
        self._answering: asyncio.Task[Response | None] | None = None
        self._is_first = True
        self.idle_since: float | None = time.monotonic()

    def abort(self) -> None:
        """Close the connection at once, and cancel the request that is being answered."""
        if self._answering is not None:
            self._answering.cancel()
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        try:
            while await self._serve_one():
                pass
        except h11.RemoteProtocolError as error:
            await self._refuse(
                error.error_status_hint, ArgumentInvalid("this is not a valid request of HTTP/1.1", "")
            )
        except RequestRefused as refused:
            await self._refuse(refused.status, refused.error)
        except TimeoutError:  # the client sends no further request, or does not take its response
            self._writer.transport.abort()
        except (ConnectionError, ClientDisconnected):
            pass  # the client has gone
        except h11.LocalProtocolError as error:  # a route has sent what HTTP does not allow
            self._log_bug(error)
        finally:
            if self._reading is not None:
                self._reading.cancel()
            self._writer.close()

    async def _serve_one(self) -> bool:
        """Answer one request; return whether the connection may serve a further one."""
        request = await self._read_head()
        if request is None:
            return False
        self.idle_since = None
        exchange = _exchange(request, self._peer, self)
        self._answering = asyncio.ensure_future(self._route(exchange))
        try:
            await asyncio.wait((self._answering,))
            response = self._result(self._answering)
        finally:
            self._answering = None
            self._memory.give_back(self._body_bytes)
            self._body_bytes = 0
        if response is None:
            await self._send(h11.EndOfMessage())
        else:
            headers = [*response.headers, *exchange.response_headers]
            await self._send_whole(replace(response, headers=headers), request)
        self.idle_since = time.monotonic()
        return await self._end_request()

    async def _end_request(self) -> bool:
        """Prepare for the next request; return whether there may be one."""
        while self._http.their_state is h11.SEND_BODY:  # what has arrived of it and was not read
            if self._http.next_event() is h11.NEED_DATA:
                await self._linger()
                return False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def _result(self, answering: "asyncio.Task[Response | None]") -> Response | None:
        """Return the response of a route.

        Raises:
            ClientDisconnected: when there is nothing to send any more.
        """
        if answering.cancelled():
            raise ClientDisconnected
        error = answering.exception()
        if error is None:
            return answering.result()
        if isinstance(error, ConnectionError | ClientDisconnected | TimeoutError):
            raise ClientDisconnected from error
        self._log_bug(error)
        if self._http.our_state is not h11.SEND_RESPONSE:
            raise ClientDisconnected from error
        body = {"code": "internal", "message": f"internal error in the worker ({type(error).__name__})"}
        return Response(500, json.dumps(body).encode("ascii"), [("content-type", JSON_TYPE)])

    def _log_bug(self, error: BaseException) -> None:
        # Only the type and the traceback: the message of an unknown error may contain text of the request.
        self._log.error(
            "http.bug",
            error=type(error).__name__,
            trace="".join(traceback.format_tb(error.__traceback__)),
        )

    async def _read_head(self) -> h11.Request | None:
        """Return the head of the next request; None if the client sends none."""
        seconds = self._limits.head_seconds if self._is_first else self._limits.idle_seconds
        self._is_first = False
        if not self._http.trailing_data[0]:
            first = await self._read(seconds)
            if not first:
                return None
            self._http.receive_data(first)
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                event = await self._next_event()
        except TimeoutError:
            raise RequestRefused(408, StreamIdle("the head of the request arrived too slowly")) from None
        if not isinstance(event, h11.Request):
            return None
        if event.http_version not in _VERSIONS:
            raise RequestRefused(505, ArgumentInvalid("this is not HTTP/1.1", "speak HTTP/1.1 to this port"))
        return event

    async def body(self, *, streamed: bool = False) -> AsyncIterator[bytes]:
        """Yield the body of the request in parts as they arrive; see `Transport`.

        Raises:
            RequestRefused: when it arrives too slowly, or there is no memory for it.
            ClientDisconnected: when the client closed the connection before its end.
        """
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        began, size = time.monotonic(), 0
        while True:
            budget = began + self._limits.seconds(size) - time.monotonic()
            try:
                event = await self._next_event(None if streamed else max(0.0, budget))
            except TimeoutError:
                raise RequestRefused(
                    408, StreamIdle("the body of the request arrived too slowly"), [("connection", "close")]
                ) from None
            except h11.RemoteProtocolError as error:
                if self._reader.at_eof():
                    raise ClientDisconnected from error
                raise RequestRefused(
                    400,
                    ArgumentInvalid("the body of the request is malformed", ""),
                    [("connection", "close")],
                ) from error
            if not isinstance(event, h11.Data):
                self._watch()
                return
            size += len(event.data)
            if not streamed:
                self._memory.take(len(event.data))
                self._body_bytes += len(event.data)
            yield bytes(event.data)

    async def start(self, status: int, headers: HeaderList) -> None:
        """Send the head of a response. Without a length the parts are sent in chunks."""
        await self._send(self._head(status, headers))

    def _head(self, status: int, headers: HeaderList) -> h11.Response:
        fields = [*headers, ("date", formatdate(usegmt=True)), ("x-content-type-options", "nosniff")]
        if not self._keep_alive() and not any(name == "connection" for name, _ in fields):
            fields.append(("connection", "close"))
        return h11.Response(status_code=status, headers=_encode(fields))

    async def write(self, data: bytes) -> None:
        """Send a part of a response.

        Raises:
            TimeoutError: when the client does not take it.
        """
        if data:
            await self._send(h11.Data(data=data))

    async def _send_whole(self, response: Response, request: h11.Request | None = None) -> None:
        headers = list(response.headers)
        if response.status != 204:  # which has no length
            headers.append(("content-length", str(len(response.body))))
        events: list[Any] = [self._head(response.status, headers)]
        if response.body and (request is None or request.method != b"HEAD"):
            events.append(h11.Data(data=response.body))
        await self._send(*events, h11.EndOfMessage())

    async def _send(self, *events: Any) -> None:
        parts = [data for event in events for data in self._http.send_with_data_passthrough(event) or ()]
        self._writer.writelines(parts)
        async with asyncio.timeout(self._limits.seconds(sum(map(len, parts)))):
            await self._writer.drain()

    async def _next_event(self, seconds: float | None = None) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._read(seconds))

    async def _read(self, seconds: float | None) -> bytes:
        """Return the next bytes of the client; none at the end.

        Raises:
            TimeoutError: when none arrive in time; they are returned by a later call.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(_CHUNK_BYTES))
        reading = self._reading
        await asyncio.wait((reading,), timeout=seconds)
        if not reading.done():
            raise TimeoutError
        if self._reading is reading:  # not if a stream whose call has ended reads too
            self._reading = None
        return reading.result()

    def _watch(self) -> None:
        """Begin to read on, so that a disconnection cancels the task that answers."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(_CHUNK_BYTES))
            self._reading.add_done_callback(self._on_read)

    def _on_read(self, reading: "asyncio.Future[bytes]") -> None:
        gone = reading.cancelled() or reading.exception() is not None or not reading.result()
        if gone and self._answering is not None:
            self._answering.cancel()

    async def _refuse(self, status: int, error: WorkerError) -> None:
        """Answer what is no request that a route could answer, then let the client read it."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        with suppress(ConnectionError, TimeoutError, h11.LocalProtocolError):
            refusal = {"code": error.status.lower(), "message": str(error)}
            headers = [("content-type", JSON_TYPE), ("connection", "close")]
            await self._send_whole(Response(status, json.dumps(refusal).encode("ascii"), headers))
            await self._linger()

    async def _linger(self) -> None:
        """Discard what the client still sends, so that it can read the response, then return."""
        with suppress(ConnectionError, TimeoutError, OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(_LINGER_SECONDS):
                while await self._read(_LINGER_SECONDS):
                    pass


def _exchange(request: h11.Request, peer: Peer, connection: Connection) -> Exchange:
    target = request.target.decode("ascii", "replace")
    if not target.startswith("/"):  # the absolute form, which proxies send
        _, _, target = target.partition("://")
        target = "/" + target.partition("/")[2]
    path, _, query = target.partition("?")
    headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers]
    return Exchange(request.method.decode("ascii"), path, query, headers, peer, connection)


def _encode(headers: HeaderList) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in headers]
