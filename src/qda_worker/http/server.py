"""The HTTP server: one socket, its connections, CORS, and shutdown together with the gRPC server.

All of it runs on the event loop of the worker. When `MAX_CONNECTIONS` are open, a new one takes the place of the one
that has been idle longest; if none is idle it is closed.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.http.calls import peer_address
from qda_worker.http.connection import BodyMemory, ClientLimits, Connection
from qda_worker.http.exchange import Peer, Route
from qda_worker.observability.logs import Log

MAX_CONNECTIONS: Final = 4096
_HANDSHAKE_SECONDS: Final = 20
_CLOSE_SECONDS: Final = 10
_BACKLOG: Final = 1024


class HttpServer:
    """Serves one route function at one address."""

    def __init__(
        self,
        route: Route,
        log: Log,
        *,
        draining: Callable[[], bool] = lambda: False,
        max_connection_age: float = float("inf"),
        max_connections: int = MAX_CONNECTIONS,
        limits: ClientLimits | None = None,
    ) -> None:
        """Create the server; nothing listens yet.

        Args:
            route: answers each request.
            log: receives `http.bug`.
            draining: returns whether the worker shuts down; connections then end with their next response.
            max_connection_age: seconds after which a connection ends with its next response.
            max_connections: limit of open connections.
            limits: how slow clients may be.
        """
        self._route = route
        self._log = log
        self._draining = draining
        self._max_connection_age = max_connection_age
        self._max_connections = max_connections
        self._memory = BodyMemory()
        self._limits = limits
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._stopping = False

    async def listen(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        """Begin to accept connections; return the address with the port that it was given.

        Raises:
            UsageError: the address cannot be bound.
        """
        handshake = _HANDSHAKE_SECONDS if tls is not None else None
        try:
            if address.port is None:
                self._server = await asyncio.start_unix_server(
                    self._accept, address.host.removeprefix("unix:"), ssl=tls, ssl_handshake_timeout=handshake,
                    backlog=_BACKLOG,
                )  # fmt: skip
                return address
            self._server = await asyncio.start_server(
                self._accept, sock=_bind(address), ssl=tls, ssl_handshake_timeout=handshake, backlog=_BACKLOG
            )
        except OSError as error:
            raise UsageError(
                f"--http-listen {address}: cannot listen there; the port is in use, or the address is not one of this "
                "machine",
                "choose another port, or stop the program that uses it",
            ) from error
        return address.at(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace: float | None) -> None:
        """Accept no more connections, close idle ones, and give requests in flight `grace` seconds to end."""
        if self._server is not None:
            self._server.close()
        self._stopping = True
        for connection in list(self._connections):
            if connection.idle_since is not None:
                connection.abort()
        if self._connections:
            await asyncio.wait(self._connections.values(), timeout=grace)
        for connection in list(self._connections):
            connection.abort()
        if self._connections:
            await asyncio.wait(self._connections.values())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_full = len(self._connections) >= self._max_connections
        if self._stopping or (is_full and not self._close_idle()):
            writer.transport.abort()
            return
        began = time.monotonic()
        certificate: Mapping[str, object] | None = writer.get_extra_info("peercert")
        peer = Peer(peer_address(writer.get_extra_info("peername")), dict(certificate or {}))
        connection = Connection(
            (reader, writer),
            peer,
            self._route,
            self._log,
            self._memory,
            keep_alive=lambda: not self._is_ending() and time.monotonic() - began < self._max_connection_age,
            limits=self._limits,
        )
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.serve()
        finally:
            del self._connections[connection]
            await _wait_closed(writer)

    def _is_ending(self) -> bool:
        return self._stopping or self._draining()

    def _close_idle(self) -> bool:
        """Close the connection that has been idle longest; return whether there was one."""
        idle = [(each.idle_since, each) for each in self._connections if each.idle_since is not None]
        if not idle:
            return False
        _, connection = min(idle, key=lambda pair: pair[0])
        connection.abort()
        return True


async def _wait_closed(writer: asyncio.StreamWriter) -> None:
    """Wait until what was written has been taken, but not for long."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        pass  # the client has gone; `ssl.SSLError` is one


def _bind(address: Address) -> socket.socket:
    """Return a socket that is bound to an address; `[::]` accepts IPv4 too, as gRPC's does.

    Raises:
        OSError: it cannot be bound.
    """
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = found[0]
    server = socket.socket(family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and socket.has_dualstack_ipv6():
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(where)
    except OSError:
        server.close()
        raise
    server.setblocking(False)
    return server
