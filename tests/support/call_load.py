"""Sends calls at a steady rate and counts those that fail, while workers are stopped, killed and replaced.

    python call_load.py TARGET... [--rate 10] [--service-config JSON] [--sentiment-only] [--folder /tmp]

For each target these sources run at the same time:

- `sync` and `async`: unary calls by the project's two clients, `--rate` a second each;
- `documents` and `async documents`: streams of `analyze`, paced so that each lasts some seconds;
- `vectors` and `async vectors`: streams of `embed_stream`, unless `--sentiment-only`;
- `plain`: with `--service-config`, unary calls by gRPC alone with that service config;
- `ghz`: once the program FOLDER/ghz exists, unary calls by it, without retries: it takes no service config.

A call counts as failed if it raises, or if a result is missing, repeated, out of order or has an error. Each call
belongs to the phase that the file FOLDER/phase names when it starts. When FOLDER/stop exists, calls in progress are
completed, and a JSON document with one entry a phase, target and source is printed. The program needs only the client's
packages, so that its text can be passed to `python -c` in the worker's image.
"""

import argparse
import asyncio
import json
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from qda.v1 import sentiment_pb2, sentiment_pb2_grpc, text_pb2
from qda_worker.client import (
    AnalysisTask,
    AsyncClient,
    Client,
    EmbeddingTask,
    SentimentTask,
    Settings,
    Text,
)

TEXT: Final = "Anna wohnt in Berlin und ist sehr zufrieden."
# Documents in a stream, and seconds between two of them.
DOCUMENTS: Final = 40
PAUSE: Final = 0.1
# Texts in a stream of vectors.
VECTORS: Final = 200
# Seconds for a unary call.
UNARY_TIMEOUT: Final = 60.0
PLAIN_TIMEOUT: Final = 30.0
SYNC_THREADS: Final = 2
# Seconds of one run of ghz.
GHZ_SECONDS: Final = 5.0


@dataclass
class Counts:
    """The calls of one phase, target and source."""

    calls: int = 0
    failed: int = 0
    worst: float = 0.0
    errors: list[str] = field(default_factory=list)


class Recorder:
    """Counts calls of all threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], Counts] = {}

    @property
    def stopped(self) -> bool:
        return (self._folder / "stop").exists()

    def phase(self) -> str:
        """Return the name of the current phase."""
        try:
            return (self._folder / "phase").read_text().strip() or "steady"
        except OSError:
            return "steady"

    def add(self, phase: str, target: str, source: str, began: float, error: BaseException | None) -> None:
        """Count one call that has ended."""
        seconds = time.monotonic() - began
        errors = (
            [f"{time.time():.2f} after {seconds:.2f} s: {type(error).__name__}: {error}"] if error else []
        )
        self.add_many(phase, target, source, Counts(1, len(errors), seconds, errors))

    def add_many(self, phase: str, target: str, source: str, added: Counts) -> None:
        """Count several calls, and write the number of all calls to the file `calls`."""
        with self._lock:
            counts = self._counts.setdefault((phase, target, source), Counts())
            counts.calls += added.calls
            counts.failed += added.failed
            counts.worst = max(counts.worst, added.worst)
            counts.errors = [*counts.errors, *added.errors][:5]
            total = sum(each.calls for each in self._counts.values())
            written = self._folder / "calls.new"
            written.write_text(str(total))
            written.replace(self._folder / "calls")  # a reader never finds it empty

    def report(self) -> list[dict[str, Any]]:
        """Return one entry a phase, target and source."""
        return [
            {"phase": phase, "target": target, "source": source, **vars(counts)}
            for (phase, target, source), counts in self._counts.items()
        ]


def check(condition: bool, message: str) -> None:
    """Raise ValueError unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_documents(results: list[Any]) -> None:
    """Check that each document has one result, in order, with all tasks."""
    check(
        [one.index for one in results] == list(range(DOCUMENTS)), f"results {[one.index for one in results]}"
    )
    check(all(one.error is None for one in results), "a document has an error")


def check_vectors(results: list[Any]) -> None:
    """Check that each text has one vector, in order."""
    check(
        [one.id for one in results] == [str(n) for n in range(VECTORS)],
        f"{len(results)} vectors, or out of order",
    )


def vector_texts() -> list[Any]:
    return [Text(TEXT, id=str(number)) for number in range(VECTORS)]


def documents() -> Iterator[str]:
    for number in range(DOCUMENTS):
        time.sleep(PAUSE)
        yield f"{number}. {TEXT}"


async def async_documents() -> AsyncIterator[str]:
    for number in range(DOCUMENTS):
        await asyncio.sleep(PAUSE)
        yield f"{number}. {TEXT}"


class SyncLoad:
    """Calls of one kind, one after the other, in threads."""

    def __init__(
        self, recorder: Recorder, target: str, source: str, call: Callable[[], None], interval: float
    ) -> None:
        self._recorder, self._target, self._source = recorder, target, source
        self._call, self._interval = call, interval

    def run(self) -> None:
        due = time.monotonic()
        while not self._recorder.stopped:
            due = max(due + self._interval, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            phase, began, error = self._recorder.phase(), time.monotonic(), None
            try:
                self._call()
            except BaseException as caught:  # noqa: BLE001  # every failure is counted
                error = caught
            self._recorder.add(phase, self._target, self._source, began, error)


def analysis_tasks(*, embeddings: bool) -> list[AnalysisTask]:
    return [SentimentTask(), EmbeddingTask()] if embeddings else [SentimentTask()]


def sync_loads(recorder: Recorder, target: str, rate: float, *, embeddings: bool) -> Iterator[SyncLoad]:
    """Yield the loads of one sync client."""
    client = Client(Settings(target, caller="load", timeout=UNARY_TIMEOUT))

    def unary() -> None:
        (result,) = client.sentiment([TEXT])
        check(result.error is None, "the text has an error")

    def stream() -> None:
        check_documents(list(client.analyze(documents(), analysis_tasks(embeddings=embeddings))))

    def vectors() -> None:
        check_vectors(list(client.embed_stream(vector_texts())))

    for _ in range(SYNC_THREADS):
        yield SyncLoad(recorder, target, "sync", unary, SYNC_THREADS / rate)
    yield SyncLoad(recorder, target, "documents", stream, 0.0)
    if embeddings:
        yield SyncLoad(recorder, target, "vectors", vectors, 2.0)


def plain_load(recorder: Recorder, target: str, rate: float, service_config: str) -> Iterator[SyncLoad]:
    """Yield the loads of gRPC alone."""
    uri = target if target.startswith(("dns:", "ipv4:")) else f"dns:///{target}"
    channel = grpc.insecure_channel(
        uri, [("grpc.service_config", service_config), ("grpc.enable_retries", 1)]
    )
    stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
    request = sentiment_pb2.AnalyzeSentimentRequest(texts=[text_pb2.Text(content=TEXT)])

    def unary() -> None:
        response = stub.AnalyzeSentiment(request, timeout=PLAIN_TIMEOUT)
        check(len(response.results) == 1, "no result")

    for _ in range(SYNC_THREADS):
        yield SyncLoad(recorder, target, "plain", unary, SYNC_THREADS / rate)


def run_ghz(recorder: Recorder, target: str, rate: float, program: Path) -> None:
    """Run ghz for some seconds each time."""
    while not program.exists():
        if recorder.stopped:
            return
        time.sleep(0.5)
    calls = max(1, round(rate * GHZ_SECONDS))
    command = [
        *(str(program), "--insecure", "--call=qda.v1.SentimentService.AnalyzeSentiment", "--format=json"),
        *(f"--total={calls}", f"--rps={max(1, round(rate))}", "--concurrency=4", "--timeout=30s"),
        *(f"--data={json.dumps({'texts': [{'content': TEXT}]})}", "--lb-strategy=round_robin"),
        target if target.startswith("dns:") else f"dns:///{target}",
    ]
    while not recorder.stopped:
        phase = recorder.phase()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            found = json.loads(done.stdout)
        except ValueError:  # it could not connect, or not read the interface by reflection
            recorder.add_many(
                phase, target, "ghz", Counts(1, 1, 0.0, [done.stderr[-300:] or done.stdout[-300:]])
            )
            continue
        failures = found.get("errorDistribution") or {}
        recorder.add_many(
            phase,
            target,
            "ghz",
            Counts(
                found["count"],
                sum(failures.values()),
                found["slowest"] / 1e9,
                [str(failures)] if failures else [],
            ),
        )


async def async_load(recorder: Recorder, target: str, rate: float, *, embeddings: bool) -> None:
    """Send calls by one async client; unary ones at the rate, however long each takes."""

    async def count(source: str, call: Callable[[], Any]) -> None:
        phase, began, error = recorder.phase(), time.monotonic(), None
        try:
            await call()
        except BaseException as caught:  # noqa: BLE001  # every failure is counted
            error = caught
        recorder.add(phase, target, source, began, error)

    tasks_of_stream = analysis_tasks(embeddings=embeddings)
    async with AsyncClient(Settings(target, caller="async-load", timeout=UNARY_TIMEOUT)) as client:

        async def unary() -> None:
            (result,) = await client.sentiment([TEXT])
            check(result.error is None, "the text has an error")

        async def stream() -> None:
            check_documents([one async for one in client.analyze(async_documents(), tasks_of_stream)])

        async def vectors() -> None:
            check_vectors([one async for one in client.embed_stream(vector_texts())])

        async def repeat(source: str, call: Callable[[], Any], pause: float) -> None:
            while not recorder.stopped:
                await count(source, call)
                await asyncio.sleep(pause)

        tasks = {asyncio.create_task(repeat("async documents", stream, 0.0))}
        if embeddings:
            tasks.add(asyncio.create_task(repeat("async vectors", vectors, 2.0)))
        due = time.monotonic()
        while not recorder.stopped:
            due = max(due + 1 / rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.add(asyncio.create_task(count("async", unary)))
            tasks = {task for task in tasks if not task.done()}
        await asyncio.gather(*tasks)


def main() -> None:
    """Run the load until the file `stop` exists, then print the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    parser.add_argument(
        "--rate", type=float, default=10.0, help="calls a second of each unary source (default: 10)"
    )
    parser.add_argument("--service-config", default="", help="run `plain` with this service config")
    parser.add_argument("--sentiment-only", action="store_true", help="for workers without embeddings")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="folder of the control files")
    options = parser.parse_args()
    recorder, embeddings = Recorder(options.folder), not options.sentiment_only

    async def all_async() -> None:
        loads = (async_load(recorder, each, options.rate, embeddings=embeddings) for each in options.targets)
        await asyncio.gather(*loads)

    threads = [threading.Thread(target=lambda: asyncio.run(all_async()))]
    for target in options.targets:
        threads += [
            threading.Thread(target=load.run)
            for load in sync_loads(recorder, target, options.rate, embeddings=embeddings)
        ]
        if options.service_config:
            loads = plain_load(recorder, target, options.rate, options.service_config)
            threads += [threading.Thread(target=load.run) for load in loads]
        ghz = (recorder, target, options.rate, options.folder / "ghz")
        threads.append(threading.Thread(target=run_ghz, args=ghz))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("REPORT " + json.dumps(recorder.report()), flush=True)


if __name__ == "__main__":
    main()
