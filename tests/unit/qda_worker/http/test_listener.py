"""The socket of the HTTP port: what it does without room, without files, and with handshakes that do not end."""

import asyncio
import os
import resource
import socket
import ssl
from typing import Any

import pytest
import structlog

from qda_worker.addresses import Address
from qda_worker.http.listener import Listener


def listener(
    events: list[str], *, rooms: list[int] | None = None, tls: ssl.SSLContext | None = None
) -> Listener:
    """Listen at a free port; connections are closed at once. `rooms` collects the numbers of those being opened."""

    def keep(_logger: Any, _name: str, event: Any) -> Any:
        events.append(event["event"])
        raise structlog.DropEvent

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events.append("served")
        writer.close()

    def has_room(opening: int) -> bool:
        if rooms is not None:
            rooms.append(opening)
        return opening < 2

    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
    started = Listener(serve, has_room, log, Address("127.0.0.1", 0), tls)
    started.start()
    return started


async def test_handshakes_that_do_not_end_count() -> None:
    events, rooms = list[str](), list[int]()
    server = listener(events, rooms=rooms, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    opened = [await asyncio.open_connection("127.0.0.1", server.address.port) for _ in range(3)]
    async with asyncio.timeout(20):
        assert await opened[2][0].read() == b""
    assert rooms == [0, 1, 2]
    server.close()
    for _, writer in opened:
        writer.close()
    assert events == []


async def test_without_files_one_line_is_logged_and_connections_are_accepted_later() -> None:
    events = list[str]()
    server = listener(events)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        client.setblocking(False)
        free = os.dup(client.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.address.port))
            await asyncio.sleep(0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert events == ["http.accept_failed"]
        async with asyncio.timeout(20):
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    assert events == ["http.accept_failed", "served"]
    server.close()


async def test_a_bound_address_is_not_served_before_the_start() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    bound = Listener(serve, lambda _: True, structlog.get_logger(), Address("127.0.0.1", 0), None)
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", bound.address.port)
    bound.close()
