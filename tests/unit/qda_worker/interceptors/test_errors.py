"""What the handlers get instead of bytes, and the trailing metadata of a call that ends with an error."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from google.protobuf.message import DecodeError, Message

from qda.v1 import text_pb2
from qda_worker.conversion.parse_errors import DeferredMessage
from qda_worker.conversion.rpc_status import build_status, retry_pushback
from qda_worker.errors import ArgumentInvalid, QueueFull, StreamIdle
from qda_worker.interceptors.errors import IdleLimits, build_trailers, parsed_input
from qda_worker.observability.call_record import begin_call

LIMITS: Final = IdleLimits(first=0.05, next=0.05)


def test_overload_errors_set_the_pushback_of_grpc_retries() -> None:
    trailers = dict(build_trailers(build_status(QueueFull("full")), retry_pushback(QueueFull("full"))))
    assert trailers["grpc-retry-pushback-ms"] == "1000"
    assert "grpc-retry-pushback-ms" not in dict(build_trailers(build_status(ArgumentInvalid("bad")), None))
    assert set(trailers) == {"grpc-retry-pushback-ms", "grpc-status-details-bin"}


def deferred(threads: list[str], *, malformed: bool = False) -> DeferredMessage:
    """Return a message that records in which thread it is parsed."""

    def parse(data: bytes) -> Message:
        threads.append(threading.current_thread().name)
        if malformed:
            raise DecodeError
        return text_pb2.Text.FromString(data)

    return DeferredMessage(text_pb2.Text(content="Köln").SerializeToString(), parse, text_pb2.Text.DESCRIPTOR)


async def test_a_deferred_message_is_parsed_and_explained_in_another_thread() -> None:
    threads: list[str] = []
    assert (await parsed_input(deferred(threads))).content == "Köln"
    with pytest.raises(ArgumentInvalid):
        await parsed_input(deferred(threads, malformed=True))
    assert len(threads) == 2
    assert threading.current_thread().name not in threads


async def test_a_stream_is_read_on_after_a_message_that_could_not_be_parsed() -> None:
    async def parts() -> AsyncIterator[Any]:
        yield deferred([], malformed=True)
        yield deferred([])

    requests = await parsed_input(parts(), IdleLimits())
    with pytest.raises(ArgumentInvalid):
        await anext(requests)
    assert (await anext(requests)).content == "Köln"
    with pytest.raises(StopAsyncIteration):
        await anext(requests)


async def silent_after(count: int) -> AsyncIterator[Any]:
    """Yield `count` messages and then nothing, without an end."""
    for _ in range(count):
        yield text_pb2.Text()
    await asyncio.Event().wait()


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_stream_that_falls_silent_ends(count: int) -> None:
    begin_call("qda.v1.S/M")
    requests = await parsed_input(silent_after(count), LIMITS)
    for _ in range(count):
        await anext(requests)
    with pytest.raises(StreamIdle):
        await anext(requests)


async def test_the_first_message_has_a_limit_of_its_own() -> None:
    begin_call("qda.v1.S/M")
    requests = await parsed_input(silent_after(1), IdleLimits(first=0.05, next=3600))
    await anext(requests)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(requests), 0.5)


async def test_a_client_that_waits_for_an_answer_is_not_silent() -> None:
    record = begin_call("qda.v1.S/M")
    requests = await parsed_input(silent_after(0), LIMITS)
    record.in_progress = 1
    reading = asyncio.ensure_future(anext(requests))
    done, _ = await asyncio.wait((reading,), timeout=10 * LIMITS.next)
    assert not done
    record.in_progress = 0
    with pytest.raises(StreamIdle):
        await reading
