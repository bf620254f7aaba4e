"""One connection: what is HTTP, how slow a client may be, and what is read while a request is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import structlog

from qda_worker.addresses import Address
from qda_worker.errors import WorkerError
from qda_worker.http.client_limits import ClientLimits
from qda_worker.http.exchange import Exchange, RequestRefused, Response
from qda_worker.http.memory import BodyMemory
from qda_worker.http.server import HttpServer
from tests.support.http_client import HttpConnection, connect, request

LIMIT: Final = 1000
QUICK: Final = ClientLimits(head_seconds=0.2, idle_seconds=0.2, grace_seconds=0.2, bytes_per_second=1e6)


async def echo(exchange: Exchange) -> Response:
    """Answer with the method, the path, the query and the body."""
    try:
        body = await exchange.read(LIMIT)
    except RequestRefused as refused:
        return Response(refused.status, refused.error.reason.encode(), refused.headers)
    return Response(200, f"{exchange.method} {exchange.path} {exchange.query} {body.decode()}".encode())


@asynccontextmanager
async def serving(
    route: Callable[[Exchange], Any] = echo, events: list[Any] | None = None, **options: Any
) -> AsyncIterator[int]:
    """Serve a route until the end of the block; no event may be logged, unless `events` receives them."""
    is_quiet, events = events is None, [] if events is None else events

    def keep(_logger: Any, _name: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
    server = HttpServer(route, log, **options)
    address = await server.listen(Address("127.0.0.1", 0))
    assert address.port is not None
    try:
        yield address.port
    finally:
        await server.stop(0)
    assert not (is_quiet and events), events


async def test_a_connection_serves_request_after_request() -> None:
    async with serving() as port, connect(port) as connection:
        for index in range(3):
            await connection.send(request("/a?b", str(index).encode()))
            answer = await connection.answer()
            assert (answer.status, answer.body) == (200, f"POST /a b {index}".encode())
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "date" in answer.headers


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with serving() as port, connect(port) as connection:
        await connection.send(b"".join(request(f"/{index}", b"x" * index) for index in range(20)))
        assert [(await connection.answer()).body.split()[1] for _ in range(20)] == [
            f"/{index}".encode() for index in range(20)
        ]


async def test_http_1_0_is_answered_and_the_connection_ends() -> None:
    async with serving() as port, connect(port) as connection:
        await connection.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert (await connection.answer()).body == b"GET /old  "
        assert await connection.is_closed()


async def test_a_head_request_has_no_body_in_its_response() -> None:
    async with serving() as port, connect(port) as connection:
        await connection.send(request("/x", method="HEAD"))
        await connection.send(request("/y"))
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert b"200" in head
        assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_an_offer_to_upgrade_is_passed_over() -> None:
    async with serving() as port, connect(port) as connection:
        for _ in range(2):
            await connection.send(request("/x", b"a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
            assert (await connection.answer()).body == b"POST /x  a"


async def test_a_client_that_waits_for_permission_gets_it() -> None:
    async with serving() as port, connect(port) as connection:
        head, body = request("/x", b"abc", "Expect: 100-continue").split(b"\r\n\r\n")
        await connection.send(head + b"\r\n\r\n")
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        await connection.send(body)
        assert (await connection.answer()).body == b"POST /x  abc"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS to a plain port
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        # Lengths that a proxy may understand otherwise.
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x H",
            400,
        ),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000, 431),
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_ends(data: bytes, status: int) -> None:
    async with serving() as port, connect(port) as connection:
        await connection.send(data)
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.json["code"] == "invalid_argument"
        assert answer.reason == "ARGUMENT_INVALID"
        assert not answer.json["message"].endswith("Remedy: ")
        assert await connection.is_closed()


async def test_a_malformed_body_is_refused_and_the_connection_ends() -> None:
    async with serving() as port, connect(port) as connection:
        await connection.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\nabc\r\n"
        )
        answer = await connection.answer()
        assert (answer.status, answer.body) == (400, b"ARGUMENT_INVALID")
        assert await connection.is_closed()


async def test_a_slow_head_is_refused() -> None:
    async with serving(limits=QUICK) as port, connect(port) as connection:
        await connection.send(b"POST / HT")
        assert (await connection.answer()).status == 408
        assert await connection.is_closed()


async def test_a_slow_body_is_refused() -> None:
    async with serving(limits=QUICK) as port, connect(port) as connection:
        await connection.send(request("/", b"abc")[:-1])
        answer = await connection.answer()
        assert (answer.status, answer.body) == (408, b"STREAM_IDLE")
        assert await connection.is_closed()


async def test_a_silent_connection_ends_without_an_answer() -> None:
    async with serving(limits=QUICK) as port, connect(port) as new, connect(port) as used:
        await used.send(request("/"))
        await used.answer()
        assert await new.is_closed()
        assert await used.is_closed()


async def test_a_client_that_does_not_take_its_response_loses_the_connection() -> None:
    async def long(exchange: Exchange) -> Response:
        return Response(200, b"x" * 50_000_000)

    limits = ClientLimits(grace_seconds=0.2, bytes_per_second=1e9)
    async with serving(long, limits=limits) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(request("/"))
        await asyncio.sleep(0.5)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(50_000_000)
        writer.close()


async def test_the_memory_for_bodies_is_bounded_and_given_back() -> None:
    memory = BodyMemory(10)
    memory.take(10)
    with pytest.raises(RequestRefused) as refused:
        memory.take(1)
    assert refused.value.status == 429
    error: WorkerError = refused.value.error
    assert error.reason == "QUEUE_FULL"
    memory.give_back(10)
    memory.take(10)


async def test_a_stream_is_sent_part_by_part() -> None:
    arrived = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        write = await exchange.stream(200, [("content-type", "text/plain")])
        await write(b"one ")
        await arrived.wait()
        await write(b"two")

    async with serving(stream) as port, connect(port) as connection:
        await connection.send(request("/"))
        await connection.reader.readuntil(b"one ")
        arrived.set()
        await connection.reader.readuntil(b"two")


async def test_a_bug_of_a_route_is_an_error_without_its_message() -> None:
    async def broken(exchange: Exchange) -> Response:
        raise ValueError(exchange.path)

    events: list[Any] = []
    async with serving(broken, events) as port, connect(port) as connection:
        await connection.send(request("/GEHEIM"))
        answer = await connection.answer()
    assert answer.status == 500
    assert b"GEHEIM" not in answer.body
    assert [event["event"] for event in events] == ["http.bug"]
    assert "GEHEIM" not in str(events)


async def test_a_client_that_disconnects_cancels_the_route() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(exchange: Exchange) -> Response:
        await exchange.read(LIMIT)
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with serving(endless) as port:
        async with connect(port) as connection:
            await connection.send(request("/", b"abc"))
            await entered.wait()
        async with asyncio.timeout(20):
            await cancelled.wait()


async def test_a_thousand_idle_connections_delay_nobody() -> None:
    async with serving() as port:
        idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        try:
            for _ in range(1000):
                idle.append(await asyncio.open_connection("127.0.0.1", port))  # noqa: PERF401
            async with asyncio.timeout(5), connect(port) as connection:
                await connection.send(request("/"))
                assert (await connection.answer()).status == 200
        finally:
            for _, writer in idle:
                writer.close()


async def test_a_connection_beyond_the_limit_takes_the_place_of_an_idle_one() -> None:
    async with serving(max_connections=2) as port, connect(port) as first, connect(port) as second:
        for connection in (first, second):
            await _check(connection)
        async with connect(port) as third:
            await _check(third)
            assert await first.is_closed()
            await _check(second)


async def _check(connection: HttpConnection) -> None:
    await connection.send(request("/"))
    assert (await connection.answer()).status == 200


async def test_empty_lines_before_a_head_are_skipped() -> None:
    async with serving() as port, connect(port) as connection:
        for path in (b"/a", b"/b"):
            await connection.send(b"\r\n")
            await connection.send(b"\r\n" + request(path.decode()))
            assert (await connection.answer()).body == b"POST " + path + b"  "


async def test_a_body_in_very_short_chunks_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def count(exchange: Exchange) -> Response:
        try:
            return Response(200, str(len(await exchange.read(10**6))).encode())
        except RequestRefused as refused:
            return Response(refused.status)

    async with serving(count) as port, connect(port) as tiny, connect(port) as usual:
        await tiny.send(head + b"1\r\na\r\n" * 5000)
        refused = await tiny.answer()
        assert (refused.status, refused.headers["connection"]) == (400, "close")
        await usual.send(head + b"a\r\n0123456789\r\n" * 5000 + b"0\r\n\r\n")
        assert (await usual.answer()).body == b"50000"


async def test_others_have_their_turn_while_a_body_in_short_chunks_is_read() -> None:
    turns = 0

    async def count(exchange: Exchange) -> Response:
        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        async for _ in exchange.transport.body():
            pass
        turning.cancel()
        return Response(200)

    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(count) as port, connect(port) as connection:
        await connection.send(head + b"a\r\n0123456789\r\n" * 4000 + b"0\r\n\r\n")
        assert (await connection.answer()).status == 200
    assert turns >= 4000 // 64


# More than is read ahead, and no more than the buffers below take: a close behind bytes that the system cannot deliver
# is not delivered either.
@pytest.mark.parametrize("ahead", [b"G", b"G" * 250_000])
async def test_a_client_that_sent_more_and_disconnects_cancels_the_route(ahead: bytes) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(exchange: Exchange) -> Response:
        await exchange.read(LIMIT)
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with serving(endless) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/", b"abc"))
        await entered.wait()
        writer.write(ahead)
        await asyncio.sleep(0.2)
        assert not cancelled.is_set()
        writer.transport.abort()
        async with asyncio.timeout(20):
            await cancelled.wait()


async def test_a_response_before_the_end_of_its_request_says_that_the_connection_closes() -> None:
    async def hasty(exchange: Exchange) -> Response:
        return Response(200, b"done")

    async with serving(hasty) as port, connect(port) as early, connect(port) as whole:
        await early.send(request("/", b"x" * 1000)[:-1])
        answer = await early.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert await early.is_closed()
        for _ in range(2):
            await whole.send(request("/", b"x" * 1000))
            assert "connection" not in (await whole.answer()).headers


async def test_a_response_that_is_not_taken_counts_as_memory_until_the_client_is_given_up() -> None:
    async def long(exchange: Exchange) -> Response:
        return Response(200, b"x" * 20_000_000)

    limits = ClientLimits(grace_seconds=0.3)
    server = HttpServer(long, structlog.get_logger(), limits=limits)
    address = await server.listen(Address("127.0.0.1", 0))
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port, limit=1000)
    before = server.memory.free
    writer.write(request("/"))
    await asyncio.sleep(0.15)
    assert server.memory.free <= before - 20_000_000
    await asyncio.sleep(0.5)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(20_000_000)
    assert server.memory.free == before
    writer.close()
    await server.stop(0)


async def test_a_burst_of_connections_does_not_pass_the_limit() -> None:
    server = HttpServer(echo, structlog.get_logger(), max_connections=5)
    address = await server.listen(Address("127.0.0.1", 0))
    burst = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", address.port) for _ in range(50)))
    for _ in range(20):
        assert server.connections <= 5
        await asyncio.sleep(0.005)
    for _, writer in burst:
        writer.close()
    await server.stop(0)
