"""The socket of the HTTP port: it accepts connections, each with its TLS handshake in a task of its own.

asyncio's server counts neither handshakes nor connections, and writes a traceback for each connection that it cannot
accept while the process has no file left. Here both have a limit, and the log one line a minute.
"""

import asyncio
import os
import socket
import ssl
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.observability.logs import Log

_BACKLOG: Final = 100
_HANDSHAKE_SECONDS: Final = 20
# Accepting again after a failure, such as too many open files.
_RETRY_SECONDS: Final = 1.0
_LOG_SECONDS: Final = 60.0


class Listener:
    """Accepts the connections of one address.

    Attributes:
        address: with the port that it was given.
    """

    def __init__(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        has_room: Callable[[int], bool],
        log: Log,
        address: Address,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Bind the socket; nothing listens yet.

        Args:
            serve: serves a connection until it ends.
            has_room: returns whether a further connection may be opened beside so many that are being opened.
            log: receives `http.accept_failed`.
            address: where to listen.
            tls: None for plain text.

        Raises:
            UsageError: the address cannot be bound.
        """
        self._serve = serve
        self._has_room = has_room
        self._log = log
        self._tls = tls
        self._wanted = address
        self._logged = float("-inf")
        self._opening: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        try:
            self._socket = _bind(address)
        except OSError as error:
            raise self._cannot_listen() from error
        port = None if address.port is None else self._socket.getsockname()[1]
        self.address = address if port is None else address.at(port)

    def start(self) -> None:
        """Begin to accept connections.

        Raises:
            UsageError: another program has begun to listen at the address.
        """
        try:
            self._socket.listen(_BACKLOG)
        except OSError as error:
            raise self._cannot_listen() from error
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more connections, and end handshakes."""
        for task in self._opening:
            task.cancel()
        if self._accepting is None:
            self._socket.close()
            return
        with suppress(NotImplementedError):  # the loop of Windows has no readers
            asyncio.get_running_loop().remove_reader(
                self._socket
            )  # before the number of the file is used again
        self._socket.close()
        self._accepting.cancel()
        self._accepting = None

    def _cannot_listen(self) -> UsageError:
        return UsageError(
            f"--http-listen {self._wanted}: cannot listen there; the port is in use, or the address is not one of this "
            "machine",
            "choose another port, or stop the program that uses it",
        )

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                self._report(error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if not self._has_room(len(self._opening)):
                client.close()
                await asyncio.sleep(0)  # a socket that is ready does not suspend `sock_accept`
                continue
            task = asyncio.create_task(self._open(client))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            task.add_done_callback(self._serving.discard)
            await asyncio.sleep(0)

    async def _open(self, client: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        try:
            reader = asyncio.StreamReader(loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                client,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls is not None else None,
            )
        except (OSError, TimeoutError):  # no handshake of TLS; `ssl.SSLError` is an OSError
            client.close()
            return
        self._opening.discard(task)
        self._serving.add(task)
        await self._serve(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def _report(self, error: OSError) -> None:
        if time.monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = time.monotonic()
            self._log.error("http.accept_failed", error=os.strerror(error.errno or 0))


def _bind(address: Address) -> socket.socket:
    """Return a socket that is bound to an address; `[::]` accepts IPv4 too, as gRPC's does.

    Raises:
        OSError: it cannot be bound.
    """
    if address.port is None:
        return _bind_path(address.host.removeprefix("unix:"))
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


def _bind_path(path: str) -> socket.socket:
    """Return a Unix socket at a path; one that an earlier process left there is replaced, as asyncio does."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(path)
    except OSError:
        server.close()
        raise
    server.setblocking(False)
    return server
