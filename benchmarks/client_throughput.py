"""Documents per second through client and worker, divided by those of the worker alone.

The worker runs a model that only echoes (`--model echo`, the default), so that the client weighs most, or the small
trained models of the tests (`--model small`). The generator of the worker alone sends requests that were serialized
before, from an event loop of grpcio, and parses no response. All sides send the same texts, in turn, in processes of
their own.

    .venv/bin/python -m benchmarks.client_throughput
    .venv/bin/python -m benchmarks.client_throughput --model small --documents 2000 --rounds 3
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc

from benchmarks.documents_soak import target as small_worker
from qda.v1 import analysis_pb2, sentiment_pb2, text_pb2
from qda_worker.client import AsyncClient, Client, SentimentTask, Settings
from tests.service.worker.process import serving

LIST_METHOD: Final = "/qda.v1.SentimentService/AnalyzeSentiment"
STREAM_METHOD: Final = "/qda.v1.AnalysisService/AnalyzeDocuments"
SIDES: Final = {
    "list": ("bare list", "Client.sentiment", "AsyncClient.sentiment", "qda-client sentiment"),
    "stream": ("bare stream", "Client.analyze", "AsyncClient.analyze", "qda-client analyze"),
}


class Spent(NamedTuple):
    """What a side needed for all documents, in seconds."""

    seconds: float
    processor: float


def _now() -> Spent:
    used = os.times()
    return Spent(time.monotonic(), used.user + used.system + used.children_user + used.children_system)


def _since(began: Spent) -> Spent:
    now = _now()
    return Spent(now.seconds - began.seconds, now.processor - began.processor)


def texts(count: int, run: int) -> list[str]:
    """Return texts of an interview's usual length, other ones in each run: equal texts are computed once."""
    return [
        f"Satz {run}-{number}: Da war ich {number % 17} Wochen in Köln, und das war gar nicht so schlecht."
        for number in range(count)
    ]


async def bare_list(address: str, documents: list[str]) -> Spent:
    """Send lists of 100 texts, four at a time."""
    settings = Settings(address)
    size = settings.chunk_texts
    requests = [
        sentiment_pb2.AnalyzeSentimentRequest(
            texts=[text_pb2.Text(content=text) for text in documents[start : start + size]]
        ).SerializeToString()
        for start in range(0, len(documents), size)
    ]
    pending = iter(requests)
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(LIST_METHOD)

        async def send() -> None:
            for request in pending:
                await call(request, timeout=300)

        await asyncio.wait_for(channel.channel_ready(), 30)
        began = _now()
        await asyncio.gather(*(send() for _ in range(settings.in_flight)))
        return _since(began)


async def bare_stream(address: str, documents: list[str]) -> Spent:
    """Send one stream, and read its responses while it is sent."""
    first = analysis_pb2.AnalyzeDocumentsRequest(
        settings=analysis_pb2.AnalyzeDocumentsSettings(sentiment=analysis_pb2.SentimentTask())
    )
    requests = [
        first.SerializeToString(),
        *(
            analysis_pb2.AnalyzeDocumentsRequest(document=text_pb2.Text(content=text)).SerializeToString()
            for text in documents
        ),
    ]
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 30)
        method: Any = channel.stream_stream(STREAM_METHOD)
        call = method(_as_async(requests), timeout=300)
        began = _now()
        count = 0
        async for _ in call:
            count += 1
        if count < len(documents):
            raise RuntimeError(f"{count} of {len(documents)} responses came")
        return _since(began)


async def _as_async(requests: list[bytes]) -> Any:
    for request in requests:
        yield request


def client_list(address: str, documents: list[str]) -> Spent:
    """Send one list with the sync client."""
    with Client(address) as client:
        client.wait_ready(30)
        began = _now()
        answer = client.sentiment(documents)
        _check(sum(result.ok for result in answer), documents)
        return _since(began)


async def async_list(address: str, documents: list[str]) -> Spent:
    """Send one list with the async client."""
    async with AsyncClient(address) as client:
        await client.wait_ready(30)
        began = _now()
        answer = await client.sentiment(documents)
        _check(sum(result.ok for result in answer), documents)
        return _since(began)


def client_stream(address: str, documents: list[str]) -> Spent:
    """Stream with the sync client."""
    with Client(address) as client:
        client.wait_ready(30)
        began = _now()
        _check(sum(result.ok for result in client.analyze(documents, [SentimentTask()])), documents)
        return _since(began)


async def async_stream(address: str, documents: list[str]) -> Spent:
    """Stream with the async client."""
    async with AsyncClient(address) as client:
        await client.wait_ready(30)
        began = _now()
        found = 0
        async for result in client.analyze(documents, [SentimentTask()]):
            found += result.ok
        _check(found, documents)
        return _since(began)


def program(command: str) -> Callable[[str, list[str]], Spent]:
    """Return the side of a command of `qda-client`, from a file to a file; its start is not counted."""

    def run(address: str, documents: list[str]) -> Spent:
        with tempfile.TemporaryDirectory() as name:
            spent = []
            output = Path(name, "results.jsonl")
            for count in (1, len(documents)):
                source = Path(name, f"{count}.txt")
                source.write_text("\n".join(documents[:count]), encoding="utf-8")
                arguments = [
                    command,
                    str(source),
                    "--output",
                    str(output),
                    "--overwrite",
                    "--target",
                    address,
                ]
                arguments.append("--quiet")
                arguments += ["--task", "sentiment"] if command == "analyze" else []
                began = _now()
                subprocess.run([sys.executable, "-m", "qda_worker.client.cli.main", *arguments], check=True)
                spent.append(_since(began))
            _check(len(output.read_bytes().splitlines()), documents)
        return Spent(spent[1].seconds - spent[0].seconds, spent[1].processor - spent[0].processor)

    return run


def _check(found: int, documents: list[str]) -> None:
    if found != len(documents):
        raise RuntimeError(f"{found} of {len(documents)} documents were answered")


RUNS: Final[dict[str, Callable[[str, list[str]], Spent]]] = {
    "bare list": lambda address, documents: asyncio.run(bare_list(address, documents)),
    "Client.sentiment": client_list,
    "AsyncClient.sentiment": lambda address, documents: asyncio.run(async_list(address, documents)),
    "qda-client sentiment": program("sentiment"),
    "bare stream": lambda address, documents: asyncio.run(bare_stream(address, documents)),
    "Client.analyze": client_stream,
    "AsyncClient.analyze": lambda address, documents: asyncio.run(async_stream(address, documents)),
    "qda-client analyze": program("analyze"),
}


@contextmanager
def worker(model: str) -> Iterator[str]:
    """Yield the address of a worker."""
    if model == "small":
        with small_worker(None) as (address, _):
            yield address
        return
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Path(name), "--cache", "/nowhere", program=("tests.support.echo_process",)) as process,
    ):
        process.wait_until_ready()
        yield process.address


def main() -> int:
    """Measure all sides in turn, and print documents per second and their share of the worker's alone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["echo", "small"], default="echo")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=RUNS, help=argparse.SUPPRESS)  # this process is one side
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(*RUNS[arguments.side](arguments.address, texts(arguments.documents, arguments.run)))
        return 0
    with worker(arguments.model) as address:
        for group in arguments.sides:
            _measure(SIDES[group], address, arguments.documents, arguments.rounds)
    return 0


def _measure(sides: tuple[str, ...], address: str, count: int, rounds: int) -> None:
    rates: dict[str, list[float]] = {side: [] for side in sides}
    processor: dict[str, list[float]] = {side: [] for side in sides}
    run = int(time.time())
    for number in range(rounds + 1):  # the first round warms up
        for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
            run += 1
            command = ["--side", side, "--address", address, "--documents", str(count), "--run", str(run)]
            module = [sys.executable, "-m", "benchmarks.client_throughput", *command]
            output = subprocess.run(module, check=True, capture_output=True, text=True, env=os.environ)
            if number:
                spent = Spent(*map(float, output.stdout.split()))
                rates[side].append(count / spent.seconds)
                processor[side].append(1000 * spent.processor / count)
    alone = statistics.median(rates[sides[0]])
    for side in sides:
        low, middle, high = min(rates[side]), statistics.median(rates[side]), max(rates[side])
        print(
            f"{side:24} {low:>9,.0f} {middle:>9,.0f} {high:>9,.0f} documents/s {middle / alone:>6.2f}; "
            f"{statistics.median(processor[side]):.3f} ms of processor time for a document",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
