"""One connection of the HTTP port: HTTP/1.1 and 1.0 by h11, one request after the other.

h11 parses and writes the protocol and refuses what is malformed or ambiguous; this module moves bytes between it and
asyncio's streams, and bounds how long a client may take. The bodies of all clients share one memory (`http.memory`).


- the head of a request, from its first byte, and the first byte of a new connection (`ClientLimits.head_seconds`);
- the pause between two requests (`idle_seconds`);
- a body: `grace_seconds`, and beyond them a minimum rate (`bytes_per_second`), in chunks that are not too many;
- the progress with which the client takes a response (`http.outgoing`).

Each request is answered in a task of its own, which is cancelled when the client disconnects (`http.incoming`).

A client that waits with its body for permission (`Expect: 100-continue`) gets it when the route begins to read, and not
if the head of the request suffices for the response.

A response that is sent before the request has been read whole ends the connection, and says so. It is then read on for
a moment (`_LINGER_SECONDS`), because closing a socket with unread bytes makes the system discard the response.
"""

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Final

import h11

from qda_worker.errors import ArgumentInvalid, StreamIdle, WorkerError
from qda_worker.http.client_limits import ClientLimits, Patience, has_too_many_chunks
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
from qda_worker.http.incoming import Incoming
from qda_worker.http.memory import BodyMemory, RequestMemory
from qda_worker.http.outgoing import Outgoing
from qda_worker.http.statuses import error_response, failed_outcome
from qda_worker.observability.logs import Log

# Bytes of the head of a request, and of the line of a chunk.
MAX_HEAD_BYTES: Final = 32 * 2**10
_VERSIONS: Final = (b"1.0", b"1.1")
# Bytes of empty lines before the head of a request.
_MAX_EMPTY_BYTES: Final = 16
# Parts of a body that are parsed before other tasks have their turn: about a millisecond.
_PARTS_PER_TURN: Final = 64
# Parts that a route has not read, and that are dropped before its response: what arrives with a short request.
_MAX_DROPPED_PARTS: Final = 16
_LINGER_SECONDS: Final = 2.0
# Between two reads of what is discarded: a client that sends without end must not keep the event loop busy.
_LINGER_PAUSE_SECONDS: Final = 0.01


class Connection:
    """Serves the requests of one connection until either side closes it.

    Attributes:
        idle_since: when the last response was sent, or the connection opened; None while a request is answered.
        memory: for the body of the current request.

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
        reader, self._writer = streams
        self._peer = peer
        self._route = route
        self._log = log
        self._limits = limits or ClientLimits()
        self._keep_alive = keep_alive
        self.memory = RequestMemory(memory)
        self._incoming = Incoming(reader, self._writer)
        self._outgoing = Outgoing(self._writer, self._limits, memory)
        self._http = _new_http()
        self._is_streamed = False  # the body of the request is read while the response is sent
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
                error.error_status_hint,
                ArgumentInvalid(
                    "this is not a valid request of HTTP/1.1",
                    "send what RFC 9112 allows, or use an HTTP client",
                ),
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
            self._incoming.close()
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
            self._incoming.unwatch()
            self.memory.release()
        if response is None:
            await self._send(h11.EndOfMessage())
        else:
            headers = [*response.headers, *exchange.response_headers]
            await self._send_whole(replace(response, headers=headers), request)
        self.idle_since = time.monotonic()
        return await self._end_request()

    async def _end_request(self) -> bool:
        """Prepare for the next request; return whether there may be one."""
        if not self._drop_unread():
            await self._linger()
            return False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._incoming.unread(self._http.trailing_data[0])
        self._http = _new_http()
        self._is_streamed = False
        return True

    def _drop_unread(self) -> bool:
        """Drop what has arrived of a request and was not read; return whether the request ends with it."""
        with suppress(h11.RemoteProtocolError):
            for _ in range(_MAX_DROPPED_PARTS):
                if self._http.their_state is not h11.SEND_BODY or self._http.next_event() is h11.NEED_DATA:
                    break
        return self._http.their_state not in (h11.SEND_BODY, h11.ERROR)

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
        await self._incoming.skip_empty_lines(seconds, _MAX_EMPTY_BYTES)
        if self._incoming.at_end:
            return None
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                event = await self._next_event()
        except TimeoutError:
            raise RequestRefused(408, StreamIdle("the head of the request arrived too slowly")) from None
        if not isinstance(event, h11.Request):
            return None
        if event.http_version not in _VERSIONS:
            raise RequestRefused(505, ArgumentInvalid("this is not HTTP/1.1", "speak HTTP/1.1 to this port"))
        _check_framing(event)
        return event

    def body(self, *, streamed: bool = False) -> AsyncIterator[bytes]:
        """Yield the body of the request in parts as they arrive; see `Transport`.

        Raises:
            RequestRefused: when it arrives too slowly, in too many chunks, or is malformed.
            ClientDisconnected: when the client closed the connection before its end.
        """
        self._is_streamed = streamed
        return self._parts()

    async def _permit_body(self) -> None:
        """Let a client send its body that waits for it."""
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))

    async def _parts(self) -> AsyncIterator[bytes]:
        await self._permit_body()
        patience, size, chunks, parts = Patience(self._limits), 0, 0, 0
        while True:
            began = time.monotonic()
            event = await self._next_part(None if self._is_streamed else patience.seconds)
            if not isinstance(event, h11.Data):
                if self._answering is not None:
                    self._incoming.watch(self._cancel)
                return
            patience.spend(began, len(event.data))
            size, chunks, parts = size + len(event.data), chunks + event.chunk_start, parts + 1
            if has_too_many_chunks(chunks, size):
                raise RequestRefused(
                    400,
                    ArgumentInvalid("the body has too many short chunks", "send chunks of some kilobytes"),
                )
            if parts % _PARTS_PER_TURN == 0:
                await asyncio.sleep(0)
            yield bytes(event.data)

    def _cancel(self) -> None:
        """Cancel the request whose client has gone."""
        if self._answering is not None:
            self._answering.cancel()

    async def _next_part(self, seconds: float | None) -> Any:
        try:
            return await self._next_event(None if seconds is None else max(0.0, seconds))
        except TimeoutError:
            raise RequestRefused(408, StreamIdle("the body of the request arrived too slowly")) from None
        except h11.RemoteProtocolError as error:
            if self._incoming.at_end:
                raise ClientDisconnected from error
            raise RequestRefused(
                400,
                ArgumentInvalid(
                    "the body of the request is malformed", "send its exact length, or valid chunks"
                ),
            ) from error

    async def start(self, status: int, headers: HeaderList) -> None:
        """Send the head of a response. Without a length the parts are sent in chunks."""
        self._outgoing.begin()
        if self._is_streamed:  # its body is read after the head of the response
            await self._permit_body()
        await self._send(self._head(status, headers))

    def _head(self, status: int, headers: HeaderList, *, is_last: bool = False) -> h11.Response:
        fields = [*headers, ("date", formatdate(usegmt=True)), ("x-content-type-options", "nosniff")]
        is_read = self._is_streamed or self._drop_unread()
        if is_last or not (is_read and self._keep_alive()):
            fields.append(("connection", "close"))
        return h11.Response(status_code=status, headers=_encode(fields))

    async def write(self, data: bytes) -> None:
        """Send a part of a response.

        Raises:
            TimeoutError: when the client does not take it.
        """
        if data:
            await self._send(h11.Data(data=data))

    async def _send_whole(
        self, response: Response, request: h11.Request | None = None, *, is_last: bool = False
    ) -> None:
        headers = list(response.headers)
        if response.status != 204:  # which has no length
            headers.append(("content-length", str(len(response.body))))
        self._is_streamed = False
        self._outgoing.begin()
        events: list[Any] = [self._head(response.status, headers, is_last=is_last)]
        if response.body and (request is None or request.method != b"HEAD"):
            events.append(h11.Data(data=response.body))
        await self._send(*events, h11.EndOfMessage())

    async def _send(self, *events: Any) -> None:
        parts = [data for event in events for data in self._http.send_with_data_passthrough(event) or ()]
        await self._outgoing.send(parts)

    async def _next_event(self, seconds: float | None = None) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._incoming.read(seconds))

    async def _refuse(self, status: int, error: WorkerError) -> None:
        """Answer what is no request that a route could answer, then let the client read it."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        with suppress(ConnectionError, TimeoutError, h11.LocalProtocolError):
            await self._send_whole(error_response(failed_outcome(error), status), is_last=True)
            await self._linger()

    async def _linger(self) -> None:
        """Discard what the client still sends, so that it can read the response, then return."""
        with suppress(ConnectionError, TimeoutError, OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(_LINGER_SECONDS):
                while True:
                    if not await self._incoming.read(None):
                        break
                    await asyncio.sleep(_LINGER_PAUSE_SECONDS)


def _new_http() -> h11.Connection:
    """Return the state of one request."""
    return h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)


def _check_framing(request: h11.Request) -> None:
    """Refuse a request whose end a proxy may see elsewhere; see RFC 9112, 6.1.

    Raises:
        RequestRefused: when it has two lengths, or chunks in HTTP/1.0.
    """
    names = {bytes(name) for name, _ in request.headers}
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
        raise RequestRefused(
            400,
            ArgumentInvalid(
                "Transfer-Encoding comes with Content-Length or in HTTP/1.0",
                "send one of the two, in HTTP/1.1",
            ),
        )


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
