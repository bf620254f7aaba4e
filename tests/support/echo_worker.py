"""A gRPC server in this process on a real port, with an EchoModel that the test can block."""

from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import grpc
import structlog

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from qda_worker.interceptors.errors import ErrorInterceptor
from qda_worker.interceptors.observation import CallObserver
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import PreparedText, TextResult, usage_in_tokens
from qda_worker.observability.logs import CallLog
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelRegistry, ModelState
from qda_worker.scheduling.queue import CAPACITY, ModelQueue
from qda_worker.services import add_services
from tests.support.echo_model import EchoModel
from tests.support.recording_observer import RecordingObserver

MODEL: Final = Model("echo", Task.SENTIMENT, HuggingFaceSource("qda-test/echo", "0" * 40, ()))


class EchoSentiment(EchoModel):
    """An EchoModel with sentiments as results. A text of n characters is positive with a probability of n percent."""

    @property
    def computed(self) -> int:
        """Number of units computed so far."""
        return sum(map(len, self.batches))

    def finish(self, text: str, prepared: PreparedText[str], outputs: Sequence[str]) -> TextResult[Any]:
        positive = min(len(text), 100) / 100
        answer = SimpleNamespace(probabilities={"positive": positive, "negative": 1 - positive})
        return TextResult(answer, usage_in_tokens(prepared))


@dataclass
class EchoServer:
    """The running server with its registry, model, recorded events and log lines."""

    registry: ModelRegistry
    model: EchoSentiment
    observer: RecordingObserver
    server: grpc.aio.Server
    target: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def queue(self) -> ModelQueue[Any, Any, Any]:
        engine = self.registry.models["echo"].engine
        assert engine is not None
        return engine.queue


@asynccontextmanager
async def echo_server(
    capacity: int = CAPACITY, most_bytes: int = MAX_RESPONSE_BYTES
) -> AsyncIterator[EchoServer]:
    """Serve until the end of the block."""
    model, observer, lines = EchoSentiment(), RecordingObserver(), list[dict[str, Any]]()

    def keep(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        lines.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
    registry = ModelRegistry(Catalog((MODEL,), "catalog.yaml"), (MODEL,))
    with ThreadPoolExecutor(2) as pool:
        queue: ModelQueue[Any, Any, Any] = ModelQueue(model, pool, capacity=capacity, observer=observer)
        served = registry.models["echo"]
        served.engine, served.state = Engine(model, queue), ModelState.SERVING
        server = grpc.aio.server(
            interceptors=[CallObserver([CallLog(log)]), ErrorInterceptor(log, most_bytes)],
            options=[("grpc.so_reuseport", 0)],
        )
        add_services(server, registry, "host")
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield EchoServer(registry, model, observer, server, f"127.0.0.1:{port}", lines)
        finally:
            model.gate.set()
            await server.stop(0)
            queue.close(drain=False, timeout=30)
