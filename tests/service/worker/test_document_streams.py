"""Streams of documents with slow or vanished clients and ending workers: no needless computing, no lost results."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from qda.v1 import analysis_pb2 as pb
from qda.v1 import analysis_pb2_grpc, sentiment_pb2, sentiment_pb2_grpc, text_pb2
from qda_worker.client import AsyncClient, Client, EntityTask, Settings, Text
from qda_worker.services.bounded_stream import MAX_IN_FLIGHT
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.documents import parts, settings
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.support.echo_worker import EchoServer, echo_server


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    async with echo_server() as server:
        yield server


@pytest.fixture
async def stub(echo: EchoServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(echo.target) as channel:
        yield analysis_pb2_grpc.AnalysisServiceStub(channel)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def stable_value(count: Callable[[], int]) -> int:
    """Return the count once it no longer changes."""
    before = -1
    while (now := count()) != before:
        before = now
        await asyncio.sleep(0.3)
    return now


def endless(content: str, taken: list[int]) -> Iterator[pb.AnalyzeDocumentsRequest]:
    def documents() -> Iterator[text_pb2.Text]:
        number = 0
        while True:
            taken.append(number)
            yield text_pb2.Text(
                content=f"{number} {content}", id=str(number)
            )  # equal texts are computed once
            number += 1

    return parts(settings(sentiment=True), documents())


async def then_wait(count: int) -> AsyncIterator[pb.AnalyzeDocumentsRequest]:
    """Yield `count` documents and no end: grpc.aio hides the status of a call that ends while it sends."""
    documents = [text_pb2.Text(content=f"gut {number}") for number in range(count)]
    for part in parts(settings(sentiment=True), documents):
        yield part
    await asyncio.Event().wait()


async def results_until_error(call: Any) -> tuple[list[pb.DocumentResult], grpc.StatusCode, str]:
    """Return the results of a stream that ends with an error, its code and its message."""
    results: list[pb.DocumentResult] = []
    try:
        async for part in call:
            results += [part.result] if part.HasField("result") else []
    except grpc.RpcError:
        return results, await call.code(), await call.details()
    raise AssertionError("the stream ended well")


@pytest.fixture
async def narrow(echo: EchoServer) -> AsyncIterator[Any]:
    """Yield a client whose flow-control window does not grow, so that it is full soon."""
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(echo.target, options) as channel:
        yield analysis_pb2_grpc.AnalysisServiceStub(channel)


async def test_a_client_that_does_not_read_stops_the_computing(
    echo: EchoServer, narrow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """gRPC's own buffers take some results, of 0.4 KiB each; then nothing more is read or computed."""
    taken: list[int] = []

    def documents() -> Iterator[text_pb2.Text]:
        while True:
            taken.append(1)
            yield text_pb2.Text(content=f"gut {len(taken)}", id="i" * 256)

    call = narrow.AnalyzeDocuments(parts(settings(sentiment=True), documents()))
    assert (await call.read()).HasField("header")
    computed = await stable_value(lambda: echo.model.computed)
    assert MAX_IN_FLIGHT <= computed < 10_000
    assert computed <= len(taken) < 2 * 10_000
    for _ in range(2 * computed):
        assert (await call.read()).HasField("result")
    assert echo.model.computed > computed
    await stable_value(lambda: echo.model.computed)
    call.cancel()
    await until(lambda: bool(echo.lines))
    assert echo.lines[0]["status"] == "CANCELLED"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_documents_in_flight_are_bounded_by_count(echo: EchoServer, stub: Any) -> None:
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(endless("gut", []))
    assert (await call.read()).HasField("header")
    assert await stable_value(lambda: echo.queue.waiting) == MAX_IN_FLIGHT
    call.cancel()


async def test_documents_in_flight_are_bounded_by_bytes(echo: EchoServer, stub: Any) -> None:
    """Thirteen interviews: the first results come while the rest is computed."""
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(endless("x" * 20_000, []))
    assert (await call.read()).HasField("header")
    assert await stable_value(lambda: echo.queue.waiting) == 13
    call.cancel()


async def test_a_document_larger_than_the_byte_limit_passes_alone(echo: EchoServer, stub: Any) -> None:
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(endless("x" * 2**20, []))
    assert (await call.read()).HasField("header")
    assert await stable_value(lambda: echo.queue.waiting) == 1
    echo.model.gate.set()
    assert [(await call.read()).result.index for _ in range(3)] == [0, 1, 2]
    call.cancel()


async def test_a_cancelled_stream_leaves_the_queue_at_once_and_is_counted_once(
    echo: EchoServer, stub: Any
) -> None:
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(endless("gut", []))
    assert (await call.read()).HasField("header")
    await until(lambda: echo.queue.waiting == MAX_IN_FLIGHT)
    computed_before = echo.model.computed
    call.cancel()
    await until(lambda: echo.queue.waiting == 0)
    echo.model.gate.set()
    await until(lambda: bool(echo.lines))
    assert await stable_value(lambda: echo.model.computed) == computed_before
    assert sum(texts for _, texts in echo.observer.cancelled) == MAX_IN_FLIGHT
    (line,) = echo.lines
    assert (line["status"], line["items"]) == ("CANCELLED", MAX_IN_FLIGHT)


async def test_a_stream_past_its_deadline_leaves_the_queue(echo: EchoServer, stub: Any) -> None:
    echo.model.gate.clear()
    _, code, _ = await results_until_error(stub.AnalyzeDocuments(then_wait(MAX_IN_FLIGHT), timeout=0.5))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    computed_before = echo.model.computed
    await until(lambda: echo.queue.waiting == 0)
    echo.model.gate.set()
    assert await stable_value(lambda: echo.model.computed) == computed_before


async def test_a_stream_waits_at_a_full_queue_instead_of_failing() -> None:
    async with echo_server(capacity=40) as echo, grpc.aio.insecure_channel(echo.target) as channel:
        stub: Any = analysis_pb2_grpc.AnalysisServiceStub(channel)
        documents = [text_pb2.Text(content="gut", id=str(number)) for number in range(300)]
        call = stub.AnalyzeDocuments(parts(settings(sentiment=True), documents))
        ids = [part.result.id async for part in call if part.HasField("result")]
    assert ids == [str(number) for number in range(300)]


async def test_interactive_calls_overtake_a_bulk_stream(echo: EchoServer, stub: Any) -> None:
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(endless("gut", []))
    await until(lambda: echo.queue.waiting == MAX_IN_FLIGHT)
    async with grpc.aio.insecure_channel(echo.target) as channel:
        moods: Any = sentiment_pb2_grpc.SentimentServiceStub(channel)
        request = sentiment_pb2.AnalyzeSentimentRequest(texts=[text_pb2.Text(content="eilig")])
        answer = moods.AnalyzeSentiment(request, timeout=TIMEOUT)
        await until(lambda: echo.queue.waiting == MAX_IN_FLIGHT + 1)
        echo.model.gate.set()
        await answer
    assert "eilig" in echo.model.batches[1]
    call.cancel()


async def test_a_dead_model_fails_its_documents_and_ends_the_stream(echo: EchoServer, stub: Any) -> None:
    """Its documents may have caused it. The rest is for another worker: UNAVAILABLE, so that clients continue there."""
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(then_wait(MAX_IN_FLIGHT + 10))
    await until(lambda: echo.queue.waiting == MAX_IN_FLIGHT)
    served = echo.registry.models["echo"]
    served.state = type(served.state).FAILED
    echo.model.watchers[0]("its process ended")
    results, code, _ = await results_until_error(call)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert len(results) == MAX_IN_FLIGHT
    assert all(result.sentiment.HasField("status") for result in results)


async def test_an_ending_worker_completes_the_documents_it_accepted(echo: EchoServer, stub: Any) -> None:
    echo.model.gate.clear()
    call = stub.AnalyzeDocuments(then_wait(MAX_IN_FLIGHT))
    await until(lambda: echo.queue.waiting == MAX_IN_FLIGHT)
    echo.registry.draining.set()
    stopping = asyncio.create_task(echo.server.stop(TIMEOUT))
    echo.model.gate.set()
    results, code, message = await results_until_error(call)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "DRAINING" in message
    assert [result.index for result in results] == list(range(MAX_IN_FLIGHT))
    await stopping
    assert echo.model.computed == MAX_IN_FLIGHT


async def test_a_stream_without_settings_does_not_delay_the_end(echo: EchoServer, stub: Any) -> None:
    async def silence() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield None

    call = stub.AnalyzeDocuments(silence())
    await asyncio.sleep(0.1)
    echo.registry.draining.set()
    await echo.server.stop(TIMEOUT)
    assert await call.code() is grpc.StatusCode.UNAVAILABLE


# Across workers that end.


def options(cache_fixture: CacheFixture) -> list[str]:
    return [
        *("--catalog", str(cache_fixture.catalog_file), "--cache", str(cache_fixture.cache), "--no-fetch"),
        *("--model", "tiny-ner"),
    ]


@pytest.fixture
def pair(cache_fixture: CacheFixture, tmp_path: Path) -> Iterator[tuple[ServeProcess, ServeProcess]]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(serving(tmp_path, *options(cache_fixture))) for _ in range(2))
        first.wait_until_ready()
        second.wait_until_ready()
        yield first, second


def serving_worker(pair: tuple[ServeProcess, ServeProcess]) -> ServeProcess:
    """Return the worker whose CPU time the stream uses."""

    def used(worker: ServeProcess) -> int:
        fields = (
            Path(f"/proc/{worker.process.pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()
        )
        return int(fields[11]) + int(fields[12])

    before = [used(worker) for worker in pair]
    threading.Event().wait(0.5)
    growth = [used(worker) - start for worker, start in zip(pair, before, strict=True)]
    return pair[growth.index(max(growth))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_continues_at_the_next_worker_without_loss_or_repeats(
    pair: tuple[ServeProcess, ServeProcess], number: signal.Signals
) -> None:
    target = "ipv4:" + ",".join(worker.address for worker in pair)
    documents = (Text(f"Satz {number} ist gut.", id=str(number)) for number in range(6_000))
    seen: list[tuple[int, str]] = []
    ended = pair[0]
    with Client(Settings(target)) as client:
        for result in client.analyze(documents, [EntityTask()]):
            assert result.ok
            seen.append((result.index, result.id))
            if len(seen) == 1_000:
                ended = serving_worker(pair)
                ended.process.send_signal(number)
    assert seen == [(index, str(index)) for index in range(6_000)]
    assert ended.wait() == (0 if number is signal.SIGTERM else -number)
    if number is signal.SIGTERM:
        (line,) = ended.events("call.ended")
        assert (line["status"], line["reason"]) == ("UNAVAILABLE", "DRAINING")
        assert line["items"] >= 1_000


async def test_the_async_client_continues_at_the_next_worker(pair: tuple[ServeProcess, ServeProcess]) -> None:
    target = "ipv4:" + ",".join(worker.address for worker in pair)
    seen = []
    async with AsyncClient(Settings(target)) as client:
        async for result in client.analyze((f"Satz {n}" for n in range(3_000)), [EntityTask()]):
            seen.append(result.index)
            if len(seen) == 500:
                (await asyncio.to_thread(serving_worker, pair)).process.send_signal(signal.SIGTERM)
    assert seen == list(range(3_000))


CLIENT: Final = """
import sys
from qda_worker.client import Client, SentimentTask, Settings
with Client(Settings(sys.argv[1], caller="doomed")) as client:
    for result in client.analyze(("Satz " + "x" * 200 for _ in range(10**9)), [SentimentTask()]):
        if result.index == 50:
            print("going", flush=True)
"""


def test_the_stream_of_a_killed_client_is_cancelled(worker: ServeProcess) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, worker.address], stdout=subprocess.PIPE, env={**os.environ}
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"going\n"
        client.kill()
    worker.wait_for(
        "end of the call", lambda: any(line["caller"] == "doomed" for line in worker.events("call.ended"))
    )
    line = next(line for line in worker.events("call.ended") if line["caller"] == "doomed")
    assert line["status"] == "CANCELLED"
