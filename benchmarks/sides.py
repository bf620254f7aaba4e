"""The sides of a comparison, as processes of their own: a worker, a library in its environment, and Infinity.

All of them stay up while they take turns; one that waits computes nothing. Texts reach a server as its users send them:
4 requests of at most 32 texts at a time, or one text after the other. A library gets the whole list, in batches of 32.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.conditions import ROOT
from benchmarks.environments import NotMeasured, python_of
from benchmarks.real_size import ENTITIES, SENTIMENT
from benchmarks.results import Role
from qda_worker.client import Client, Priority, Settings
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving

# Concurrent requests of a bulk job, and texts in one.
CALLERS: Final = 4
REQUEST_TEXTS: Final = 32
# Seconds until a side must be ready; the export of a model by an ONNX or OpenVINO backend takes minutes.
_START_SECONDS: Final = 540.0
_PROGRAM: Final = ROOT / "benchmarks" / "peers" / "program.py"
# Libraries must not look for models in the network, nor count their users.
_OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "TOKENIZERS_PARALLELISM": "true",
}  # fmt: skip


class Contestant(Protocol):
    """A side that runs.

    Attributes:
        name: for the tables.
        role: what it is in a comparison.
        note: engine, versions and settings.
        ready_seconds: from the start of its process to its first answer.
    """

    name: str
    role: Role
    note: str
    ready_seconds: float

    def bulk_seconds(self, texts: Sequence[str]) -> float:
        """Return the seconds for all texts."""

    def single_seconds(self, texts: Sequence[str]) -> list[float]:
        """Return the seconds for each text, one after the other."""


class ServerSide(Protocol):
    """A side that answers several callers at once."""

    name: str
    role: Role
    note: str

    def call(self, texts: Sequence[str]) -> None:
        """Compute texts by one request of the interactive lane; it may be called from several threads."""


def task_of(key: str) -> str:
    """Return the task of a model of `real_size`."""
    return {SENTIMENT: "sentiment", ENTITIES: "entities"}.get(key, "embedding")


class WorkerSide:
    """A worker with one model, called by the project's client."""

    role: Role = Role.OURS

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        cache: CacheFixture,
        key: str,
        *options: str,
        name: str = "worker",
        request: tuple[int, int] = (REQUEST_TEXTS, CALLERS),
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            stack: stops it.
            folder: for its port file.
            cache: of the model.
            key: of the model.
            options: further options of `qda-worker serve`.
            name: for the tables.
            request: texts in a request, and number of concurrent requests.

        Raises:
            NotMeasured: it does not become ready.
        """
        self.name = name
        self._request_texts, self._callers = request
        self._key = key
        began = time.monotonic()
        arguments = ["--catalog", str(cache.catalog_file), "--cache", str(cache.cache), "--no-fetch"]
        self.process: ServeProcess = stack.enter_context(
            serving(folder, *arguments, "--model", key, *options)
        )
        try:
            self.process.wait_until_ready()
        except AssertionError as error:
            raise NotMeasured(f"the worker does not become ready: {_problem(self.process)}") from error
        self.ready_seconds = time.monotonic() - began
        self.client = stack.enter_context(self.new_client())
        self.note = self._engines()

    def new_client(self) -> Client:
        """Return a client with a connection of its own."""
        return Client(
            Settings(
                self.process.address, chunk_texts=self._request_texts, in_flight=self._callers, timeout=600
            )
        )

    def _engines(self) -> str:
        """Return what computes the model, where this version of the worker tells."""
        model: Any = next(model for model in self.client.models().models if model.key == self._key)
        engines = getattr(model, "engines", ())
        return f"engine {', '.join(map(str, engines))}" if engines else ""

    def compute(self, texts: Sequence[str], priority: Priority) -> None:
        """Compute texts in several requests at a time.

        Raises:
            AssertionError: a text has no result.
        """
        calls: dict[str, Callable[[], Any]] = {
            "sentiment": lambda: self.client.sentiment(texts, priority=priority),
            "entities": lambda: self.client.entities(texts, priority=priority),
            "embedding": lambda: self.client.embed(texts, model=self._key, priority=priority, stream=False),
        }
        answer = calls[task_of(self._key)]()
        assert all(result.ok for result in answer)

    def call(self, texts: Sequence[str]) -> None:
        """Compute texts by one request of the interactive lane."""
        self.compute(texts, Priority.INTERACTIVE)

    def bulk_seconds(self, texts: Sequence[str]) -> float:
        """Return the seconds for all texts."""
        return timed(lambda: self.compute(texts, Priority.BULK))

    def single_seconds(self, texts: Sequence[str]) -> list[float]:
        """Return the seconds for each text, one after the other."""
        return [timed(lambda text=text: self.call([text])) for text in texts]  # type: ignore[misc]


class LibrarySide:
    """A program that computes with a library, and answers requests on its stdin as `peers/program.py` does."""

    def __init__(
        self, stack: ExitStack, command: Sequence[str], log: Path, *, role: Role, label: str
    ) -> None:
        """Start it and wait for its first answer.

        Args:
            stack: stops it.
            command: of the program.
            log: file for its stderr.
            role: what it is in a comparison.
            label: its name in the tables.

        Raises:
            NotMeasured: the model cannot be loaded.
        """
        self.role = role
        self.name = label
        log.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(log.open("w", encoding="utf-8")),
            env={**os.environ, **_OFFLINE},
            cwd=ROOT,
            text=True,
        )
        stack.callback(_end, self._process)
        try:
            versions = self._read()["ready"]
        except NotMeasured as error:
            lines = [line for line in log.read_text("utf-8").splitlines() if line.strip()]
            raise NotMeasured(f"{error}: {(lines or ['no message'])[-1][:300]}") from None
        self.ready_seconds = time.monotonic() - began
        self.note = ", ".join(f"{package} {version}" for package, version in versions.items())

    def bulk_seconds(self, texts: Sequence[str]) -> float:
        """Return the seconds for all texts."""
        return sum(self._ask("bulk", texts))

    def single_seconds(self, texts: Sequence[str]) -> list[float]:
        """Return the seconds for each text, one after the other."""
        return self._ask("single", texts)

    def _ask(self, method: str, texts: Sequence[str]) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"method": method, "texts": list(texts)}) + "\n")
        self._process.stdin.flush()
        seconds: list[float] = self._read()["seconds"]
        return seconds

    def _read(self) -> Any:
        assert self._process.stdout is not None
        timer = threading.Timer(_START_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise NotMeasured(f"it ended with status {self._process.wait(10)}")
        return json.loads(line)


def library_command(
    kind: str,
    model: Path,
    key: str,
    *,
    threads: int,
    prepared: Path,
    precision: str = "fp32",
    own: bool = False,
) -> list[str]:
    """Return the command of a library in its environment.

    Args:
        kind: of `peers/program.py`.
        model: folder of the model.
        key: of the model.
        threads: number of threads to compute with.
        prepared: folder for what it exports once.
        precision: fp32, tf32, bf16 or int8.
        own: whether it runs in this environment, which the bare forward pass always does.

    Raises:
        NotMeasured: its environment cannot be made.
    """
    python = sys.executable if kind == "bare" or own else str(python_of(ENVIRONMENT_OF[kind]))
    return [
        python, str(_PROGRAM), kind, str(model), "--task", task_of(key), "--threads", str(threads),
        "--precision", precision, "--prepared", str(prepared),
    ]  # fmt: skip


def bare_form_command(cache: CacheFixture, key: str, engine: str, threads: int) -> list[str]:
    """Return the command that computes the prepared form of a model with one engine, without a server."""
    return [
        sys.executable, "-m", "benchmarks.bare_form", "--catalog", str(cache.catalog_file),
        "--cache", str(cache.cache), "--model", key, "--engine", engine, "--threads", str(threads),
    ]  # fmt: skip


# The kinds that are the bare forward pass.
BARE: Final = ("bare", "bare-openvino")
# The environment of each kind of `peers/program.py`. Plain transformers is what sentence-transformers installs too.
ENVIRONMENT_OF: Final = {
    "bare-openvino": "openvino",
    "transformers": "sentence-transformers",
    "sentence-transformers": "sentence-transformers",
    "onnx": "onnx",
    "openvino": "openvino",
    "flagembedding": "flagembedding",
    "spacy": "spacy",
}


class InfinitySide:
    """Infinity's HTTP server, with torch in fp32 and batches of 32."""

    role: Role = Role.PEER
    name = "Infinity"

    def __init__(self, stack: ExitStack, model: Path, key: str, threads: int, folder: Path) -> None:
        """Start it and wait until it answers.

        Raises:
            NotMeasured: its environment cannot be made or its model cannot be loaded.
        """
        program = python_of("infinity").with_name("infinity_emb")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        log = folder / f"infinity-{key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._path = "/classify" if task_of(key) == "sentiment" else "/embeddings"
        self._local = threading.local()
        began = time.monotonic()
        process = subprocess.Popen(
            [str(program), "v2", "--model-id", str(model), "--served-model-name", "model", "--engine", "torch",
             "--device", "cpu", "--dtype", "float32", "--batch-size", str(REQUEST_TEXTS), "--no-bettertransformer",
             "--host", "127.0.0.1", "--port", str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=stack.enter_context(log.open("w", encoding="utf-8")),
            env={**os.environ, **_OFFLINE, "OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
        stack.callback(_end, process)
        while True:
            if process.poll() is not None or time.monotonic() - began > _START_SECONDS:
                lines = [line for line in log.read_text("utf-8").splitlines() if line.strip()]
                raise NotMeasured(f"Infinity does not start: {(lines or ['no message'])[-1][:300]}")
            with suppress(OSError, http.client.HTTPException):
                self.call(["Ja."])
                break
            time.sleep(0.1)
        self.ready_seconds = time.monotonic() - began
        self.note = "infinity-emb 0.0.78, torch, fp32, batches of 32"

    def call(self, texts: Sequence[str]) -> None:
        """Compute texts by one HTTP request, over one connection for each thread.

        Raises:
            OSError: the server cannot be reached or refuses.
        """
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
            self._local.connection = connection
        body = json.dumps({"model": "model", "input": list(texts)})
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            raise
        if response.status != 200:
            raise OSError(f"Infinity answers {response.status}: {data[:200]!r}")
        json.loads(data)  # what its users do with it

    def bulk_seconds(self, texts: Sequence[str]) -> float:
        """Return the seconds for all texts."""
        parts = [texts[start : start + REQUEST_TEXTS] for start in range(0, len(texts), REQUEST_TEXTS)]
        with ThreadPoolExecutor(CALLERS) as pool:
            return timed(lambda: list(pool.map(self.call, parts)))

    def single_seconds(self, texts: Sequence[str]) -> list[float]:
        """Return the seconds for each text, one after the other."""
        return [timed(lambda text=text: self.call([text])) for text in texts]  # type: ignore[misc]


def _problem(process: ServeProcess) -> str:
    """Return what the last error or warning in a worker's log says."""
    for line in reversed(process.lines):
        if line.get("level") in {"error", "warning"}:
            detail = line.get("detail") or line.get("reason") or ""
            return f"{line.get('event')} {detail} {line.get('remedy') or ''}".strip()
    return (process.raw or ["no message"])[-1].strip()[:300]


def timed(computation: Callable[[], Any]) -> float:
    """Return the seconds of a computation."""
    began = time.perf_counter()
    computation()
    return time.perf_counter() - began


def _end(process: "subprocess.Popen[Any]") -> None:
    """End a process and wait for it."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
