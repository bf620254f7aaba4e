"""How much one caller delays another: long texts and malformed messages, beside a two-word request and the probes.

A worker with tiny models, so that what is measured is the worker and not a model. While each load below is in, a second
caller sends a text of two words to the embedding model, and a third one probes the health port, each as soon as it was
answered and a pause has passed. The worst and the median of their answers are printed.

- idle: nothing else.
- long texts: two callers with a text of 15 MB each, one for the sentiment and one for the embedding model.
- malformed: a message of 16 MB with one bad byte at its end: empty texts, unknown fields, texts that are not UTF-8.

    .venv/bin/python -m benchmarks.interference
    .venv/bin/python -m benchmarks.interference --megabytes 4 --rounds 1

Ends with 1 if a two-word request took longer than 0.5 s beside the long texts, or a probe longer than 0.2 s.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qda.v1 import embedding_pb2, embedding_pb2_grpc, sentiment_pb2, sentiment_pb2_grpc, text_pb2
from tests.service.worker.fixtures import create_cache
from tests.service.worker.process import serving

# The promises, in seconds.
_MAX_REQUEST: Final = 0.5
_MAX_PROBE: Final = 0.2
# Seconds between two requests of one caller.
_PAUSE: Final = 0.02
# Seconds of the idle measurement.
_IDLE_SECONDS: Final = 3.0

_SENTENCE: Final = "Das Gespräch mit Frau Müller in Köln war sehr angenehm, und die Stadt ist schön! "
_ANALYZE: Final = "/qda.v1.SentimentService/AnalyzeSentiment"
_OPTIONS: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass
class Latencies:
    """Durations of the answers to one caller, in seconds."""

    request: list[float] = field(default_factory=list)
    probe: list[float] = field(default_factory=list)


async def _repeat(call: Callable[[], Awaitable[Any]], seconds: list[float]) -> None:
    """Call without end, and note how long each answer took."""
    while True:
        began = time.monotonic()
        await call()
        seconds.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE)


async def _measure(target: str, health_target: str, load: Awaitable[Any]) -> Latencies:
    """Measure both callers until the load has ended."""
    latencies = Latencies()
    async with (
        grpc.aio.insecure_channel(target) as channel,
        grpc.aio.insecure_channel(health_target) as health,
    ):
        request = embedding_pb2.EmbedRequest(texts=[text_pb2.Text(content="sehr gut")])
        embed: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed
        check: Any = health_pb2_grpc.HealthStub(health).Check
        metadata = (("x-qda-caller", "second"),)
        callers = [
            asyncio.create_task(_repeat(lambda: embed(request, metadata=metadata), latencies.request)),
            asyncio.create_task(_repeat(lambda: check(health_pb2.HealthCheckRequest()), latencies.probe)),
        ]
        await asyncio.sleep(_PAUSE)
        await load
        await asyncio.sleep(_PAUSE)
        for caller in callers:
            caller.cancel()
            with suppress(asyncio.CancelledError):
                await caller
    return latencies


async def _long_texts(target: str, megabytes: int) -> None:
    """Send a long text to two models and await both results."""
    text = text_pb2.Text(content=_SENTENCE * (megabytes * 10**6 // len(_SENTENCE.encode())))

    async def ask(method: Callable[[grpc.aio.Channel], Any], request: Any, caller: str) -> None:
        async with grpc.aio.insecure_channel(target, _OPTIONS) as channel:
            response = await method(channel)(request, metadata=(("x-qda-caller", caller),))
            assert response.results[0].HasField("usage")

    await asyncio.gather(
        ask(
            lambda channel: sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment,
            sentiment_pb2.AnalyzeSentimentRequest(texts=[text]),
            "long-1",
        ),
        ask(
            lambda channel: embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed,
            embedding_pb2.EmbedRequest(texts=[text]),
            "long-2",
        ),
    )


async def _malformed(target: str, data: bytes) -> None:
    """Send bytes that protobuf refuses."""
    async with grpc.aio.insecure_channel(target, _OPTIONS) as channel:
        call: Any = channel.unary_unary(_ANALYZE, request_serializer=None, response_deserializer=None)
        with suppress(grpc.aio.AioRpcError):
            await call(data)


def _print_row(name: str, latencies: Latencies) -> None:
    cells = [
        f"{max(seconds):>10.3f} {median(seconds):>8.3f} {len(seconds):>6}"
        for seconds in (latencies.request, latencies.probe)
    ]
    print(f"{name:<28} {'  '.join(cells)}", flush=True)


async def _run(target: str, health_target: str, megabytes: int, rounds: int) -> int:
    size = 16 * 2**20 - 1
    loads: Sequence[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("idle", lambda: asyncio.sleep(_IDLE_SECONDS)),
        (f"two texts of {megabytes} MB", lambda: _long_texts(target, megabytes)),
        ("malformed: empty texts", lambda: _malformed(target, b"\x0a\x00" * (size // 2) + b"\xff")),
        ("malformed: unknown fields", lambda: _malformed(target, b"\x78\x01" * (size // 2) + b"\xff")),
        ("malformed: not UTF-8", lambda: _malformed(target, b"\x0a\x03\x12\x01\xff" * (size // 5))),
    ]
    print(f"{'seconds':<28} {'two words':>10} {'median':>8} {'n':>6}  {'probe':>10} {'median':>8} {'n':>6}")
    broken = 0
    for name, load in loads:
        latencies = Latencies()
        for _ in range(rounds):
            measured = await _measure(target, health_target, load())
            latencies.request += measured.request
            latencies.probe += measured.probe
        _print_row(name, latencies)
        broken += max(latencies.request) > _MAX_REQUEST or max(latencies.probe) > _MAX_PROBE
    return int(broken > 0)


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--megabytes", type=int, default=15, help="size of the long texts; default %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each load; default %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = create_cache(folder)
        options = ["--catalog", str(world.catalog_file), "--cache", str(world.cache), "--no-fetch"]
        with serving(folder, *options, "--health-listen", "127.0.0.1:0") as worker:
            worker.wait_until_ready()
            health = worker.wait_for_event("health.listening")["address"]
            return asyncio.run(_run(worker.address, health, arguments.megabytes, arguments.rounds))


if __name__ == "__main__":
    sys.exit(main())
