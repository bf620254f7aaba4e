"""The HTTP server: one socket, its connections, and shutdown together with the gRPC server.

All of it runs on the event loop of the worker. When the limit of connections is reached, a new one takes the place of
the one that has been idle longest; if none is idle it is closed. Handshakes of TLS count too. The limit is
`MAX_CONNECTIONS`, and at most half of the files that the process may open, so that models and gRPC have the other half.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final

from qda_worker.addresses import Address
from qda_worker.http.calls import peer_address
from qda_worker.http.client_limits import ClientLimits
from qda_worker.http.connection import Connection
from qda_worker.http.exchange import Peer, Route
from qda_worker.http.listener import Listener
from qda_worker.http.memory import BodyMemory
from qda_worker.observability.logs import Log

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

MAX_CONNECTIONS: Final = 4096
_CLOSE_SECONDS: Final = 10
# Share of the files that the process may open.
_FILE_SHARE: Final = 0.5


class HttpServer:
    """Serves one route function at one address.

    Attributes:
        memory: for the bodies of all connections.
    """

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
            log: receives `http.bug` and `http.accept_failed`.
            draining: returns whether the worker shuts down; connections then end with their next response.
            max_connection_age: seconds after which a connection ends with its next response.
            max_connections: limit of open connections, see the module.
            limits: how slow clients may be.
        """
        self._route = route
        self._log = log
        self._draining = draining
        self._max_connection_age = max_connection_age
        self._max_connections = min(max_connections, _most_files())
        self.memory = BodyMemory()
        self._limits = limits
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._stopping = False

    def bind(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        """Bind a socket, on which `start` listens; return the address with the port that it was given.

        Raises:
            UsageError: the address cannot be bound.
        """
        self._listener = Listener(self._serve, self._has_room, self._log, address, tls)
        return self._listener.address

    def start(self) -> None:
        """Begin to accept connections.

        Raises:
            UsageError: another program has begun to listen at the address.
        """
        assert self._listener is not None, "bind comes first"
        self._listener.start()

    async def listen(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        """Bind and start; see both."""
        bound = self.bind(address, tls)
        self.start()
        return bound

    async def stop(self, grace: float | None) -> None:
        """Accept no more connections, close idle ones, and give requests in flight `grace` seconds to end."""
        if self._listener is not None:
            self._listener.close()
        self._stopping = True
        for connection in list(self._connections):
            if connection.idle_since is not None:
                self._abort(connection)
        if self._connections:
            await asyncio.wait(self._connections.values(), timeout=grace)
        for connection in list(self._connections):
            self._abort(connection)
        if self._closing:
            await asyncio.wait(self._closing)

    def _has_room(self, handshakes: int) -> bool:
        """Return whether a further connection may be opened; close an idle one for it if necessary.

        Args:
            handshakes: number of connections that are being opened.
        """
        is_full = len(self._connections) + handshakes >= self._max_connections
        return not self._stopping and (not is_full or self._close_idle())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping:
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
            self.memory,
            keep_alive=lambda: not self._is_ending() and time.monotonic() - began < self._max_connection_age,
            limits=self._limits,
        )
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.serve()
        finally:
            self._connections.pop(connection, None)
            self._closing.add(task)
            try:
                await _wait_closed(writer)
            finally:
                self._closing.discard(task)

    def _abort(self, connection: Connection) -> None:
        """Close a connection at once; it has no place among the open ones any more."""
        self._closing.add(self._connections.pop(connection))
        connection.abort()

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def _is_ending(self) -> bool:
        return self._stopping or self._draining()

    def _close_idle(self) -> bool:
        """Close the connection that has been idle longest; return whether there was one."""
        idle = [(each.idle_since, each) for each in self._connections if each.idle_since is not None]
        if not idle:
            return False
        _, connection = min(idle, key=lambda pair: pair[0])
        self._abort(connection)
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


def _most_files() -> int:
    """Return how many connections the process may have for its limit of open files."""
    if resource is None:
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, int(soft * _FILE_SHARE))
