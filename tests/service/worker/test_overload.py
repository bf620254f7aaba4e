"""Refusals under load: delays for gRPC's retries and for our client; cancelled calls are not computed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from qda.v1 import sentiment_pb2 as pb
from qda.v1 import sentiment_pb2_grpc, text_pb2
from qda_worker.client import AsyncClient, Overloaded, Settings
from tests.service.worker.calls import TIMEOUT, detail, reason
from tests.support.echo_worker import EchoServer, echo_server

RETRYING: Final = {
    "methodConfig": [
        {
            "name": [{"service": "qda.v1.SentimentService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "600s",  # so that only the worker's pushback can cause the next attempt
                "maxBackoff": "600s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    """Yield a worker with a queue of ten texts."""
    async with echo_server(capacity=10) as server:
        yield server


@pytest.fixture
async def stub(echo: EchoServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(echo.target, [("grpc.enable_retries", 0)]) as channel:
        yield sentiment_pb2_grpc.SentimentServiceStub(channel)


def request(count: int) -> pb.AnalyzeSentimentRequest:
    """Return a call with different texts, because equal ones are computed once."""
    return pb.AnalyzeSentimentRequest(texts=[text_pb2.Text(content=f"gut {n}") for n in range(count)])


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def fill(echo: EchoServer, stub: Any) -> Any:
    """Start a call of ten texts that waits until the gate opens."""
    echo.model.gate.clear()
    call = stub.AnalyzeSentiment(request(10), timeout=TIMEOUT)
    await until(lambda: echo.queue.waiting == 10)
    return call


async def test_a_full_queue_sends_retry_info_and_pushback(echo: EchoServer, stub: Any) -> None:
    waiting = await fill(echo, stub)
    call = stub.AnalyzeSentiment(request(1), timeout=TIMEOUT)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert reason(status) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
    delay = detail(status, error_details_pb2.RetryInfo()).retry_delay.ToMilliseconds()
    trailers = dict(await call.trailing_metadata())
    assert int(trailers["grpc-retry-pushback-ms"]) == delay
    assert 2000 <= delay <= 2500
    echo.model.gate.set()
    assert len((await waiting).results) == 10
    assert echo.observer.refused == [("QUEUE_FULL", 1)]


async def test_grpc_retries_follow_the_pushback_of_the_worker(echo: EchoServer, stub: Any) -> None:
    """The client's own backoff is ten minutes, so only the pushback can have caused the retry."""
    waiting = await fill(echo, stub)
    options = [("grpc.service_config", json.dumps(RETRYING)), ("grpc.enable_retries", 1)]
    async with grpc.aio.insecure_channel(echo.target, options) as channel:
        retrying: Any = sentiment_pb2_grpc.SentimentServiceStub(channel)
        call = retrying.AnalyzeSentiment(request(1), timeout=TIMEOUT)
        await until(lambda: bool(echo.observer.refused))
        echo.model.gate.set()
        assert len((await call).results) == 1
    await waiting


async def test_our_client_retries_until_the_queue_has_capacity(echo: EchoServer, stub: Any) -> None:
    waiting = await fill(echo, stub)
    async with AsyncClient(Settings(echo.target)) as client:
        answer = asyncio.create_task(client.sentiment(["gut"]))
        await until(lambda: len(echo.observer.refused) >= 3)
        echo.model.gate.set()
        assert (await answer)[0].ok
    await waiting


async def test_our_client_stops_when_the_delay_exceeds_its_timeout(echo: EchoServer, stub: Any) -> None:
    waiting = await fill(echo, stub)
    async with AsyncClient(Settings(echo.target)) as client:
        with pytest.raises(Overloaded, match="QUEUE_FULL"):
            await client.sentiment(["gut"], timeout=0.3)
    echo.model.gate.set()
    await waiting


async def test_a_cancelled_call_leaves_the_queue_before_it_is_computed(echo: EchoServer, stub: Any) -> None:
    echo.model.gate.clear()
    first = stub.AnalyzeSentiment(request(2), timeout=TIMEOUT)
    assert await asyncio.to_thread(echo.model.entered.acquire, timeout=TIMEOUT)
    computed_before = echo.model.computed
    cancelled = stub.AnalyzeSentiment(request(5), timeout=TIMEOUT)
    await until(lambda: echo.queue.waiting == 7)
    cancelled.cancel()
    await until(lambda: echo.queue.waiting == 2)
    echo.model.gate.set()
    await first
    assert echo.model.computed == max(computed_before, 2)
    assert echo.observer.cancelled == [("CANCELLED_BY_CALLER", 5)]


async def test_a_call_past_its_deadline_leaves_the_queue_before_it_is_computed(
    echo: EchoServer, stub: Any
) -> None:
    echo.model.gate.clear()
    first = stub.AnalyzeSentiment(request(2), timeout=TIMEOUT)
    assert await asyncio.to_thread(echo.model.entered.acquire, timeout=TIMEOUT)
    late = stub.AnalyzeSentiment(request(5), timeout=0.3)
    assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: echo.queue.waiting == 2)
    echo.model.gate.set()
    await first
    assert echo.model.computed == 2


async def test_a_response_over_the_message_limit_is_refused_with_a_reason() -> None:
    """gRPC itself would break the call without one."""
    async with (
        echo_server(most_bytes=4_000) as echo,
        grpc.aio.insecure_channel(echo.target) as channel,
    ):
        stub: Any = sentiment_pb2_grpc.SentimentServiceStub(channel)
        assert len((await stub.AnalyzeSentiment(request(10), timeout=TIMEOUT)).results) == 10
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.AnalyzeSentiment(request(500), timeout=TIMEOUT)
        status = rpc_status.from_call(caught.value)
        assert status is not None
        assert reason(status) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
        assert "bytes; at most 4000 are allowed. Remedy: send fewer" in status.message
        await until(lambda: len(echo.lines) == 2)
        assert echo.lines[1]["reason"] == "ARGUMENT_INVALID"
