"""The HTTP server: how it stops, and how connections end while the worker drains."""

import asyncio

import pytest
import structlog

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.http.exchange import Exchange, Response
from qda_worker.http.server import HttpServer
from tests.support.http_client import connect, request


async def answer(exchange: Exchange) -> Response:
    return Response(200, exchange.path.encode())


async def test_a_request_in_flight_ends_within_the_grace_and_idle_connections_at_once() -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def wait(exchange: Exchange) -> Response:
        entered.set()
        await gate.wait()
        return Response(200, b"done")

    server = HttpServer(wait, structlog.get_logger())
    address = await server.listen(Address("127.0.0.1", 0))
    assert address.port is not None
    async with connect(address.port) as idle, connect(address.port) as busy:
        await busy.send(request("/"))
        await entered.wait()
        stop = asyncio.create_task(server.stop(20))
        assert await idle.is_closed()
        gate.set()
        response = await busy.answer()
        assert (response.body, response.headers["connection"]) == (b"done", "close")
        await asyncio.wait_for(stop, 20)
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", address.port)


async def test_a_request_beyond_the_grace_is_cancelled() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(exchange: Exchange) -> Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    server = HttpServer(endless, structlog.get_logger())
    address = await server.listen(Address("127.0.0.1", 0))
    assert address.port is not None
    async with connect(address.port) as connection:
        await connection.send(request("/"))
        await entered.wait()
        await asyncio.wait_for(server.stop(0.05), 20)
        assert cancelled.is_set()


@pytest.mark.parametrize("options", [{"draining": lambda: True}, {"max_connection_age": 0.0}])
async def test_a_connection_ends_with_its_next_response_while_draining_and_when_it_is_old(
    options: dict[str, object],
) -> None:
    server = HttpServer(answer, structlog.get_logger(), **options)  # type: ignore[arg-type]
    address = await server.listen(Address("127.0.0.1", 0))
    assert address.port is not None
    async with connect(address.port) as connection:
        await connection.send(request("/"))
        assert (await connection.answer()).headers["connection"] == "close"
        assert await connection.is_closed()
    await server.stop(0)


async def test_a_port_in_use_is_a_usage_error() -> None:
    server = HttpServer(answer, structlog.get_logger())
    address = await server.listen(Address("127.0.0.1", 0))
    with pytest.raises(UsageError, match=r"--http-listen 127\.0\.0\.1"):
        await HttpServer(answer, structlog.get_logger()).listen(address)
    await server.stop(0)


async def test_every_address_of_both_families_is_served_and_a_unix_socket(tmp_path: object) -> None:
    server = HttpServer(answer, structlog.get_logger())
    address = await server.listen(Address("::", 0))
    assert address.port is not None
    async with connect(address.port) as connection:
        await connection.send(request("/both"))
        assert (await connection.answer()).body == b"/both"
    await server.stop(0)
    local = HttpServer(answer, structlog.get_logger())
    await local.listen(Address(f"unix:{tmp_path}/http.sock", None))
    reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/http.sock")
    writer.write(request("/local"))
    assert (await reader.readuntil(b"/local")).startswith(b"HTTP/1.1 200")
    writer.close()
    await local.stop(0)
