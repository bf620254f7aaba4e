"""Both servers of a worker in this process, on real ports, with an EchoModel that the test can block."""

from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import grpc
import structlog

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from qda_worker.access.policy import AccessPolicy
from qda_worker.addresses import Address
from qda_worker.http.calls import CallRunner, collect_handlers
from qda_worker.http.client_limits import ClientLimits
from qda_worker.http.connect import ConnectRoute
from qda_worker.http.routes import Router
from qda_worker.http.server import MAX_CONNECTIONS, HttpServer
from qda_worker.interceptors.access import AccessInterceptor
from qda_worker.interceptors.concurrency import CallLimit
from qda_worker.interceptors.errors import ErrorInterceptor
from qda_worker.interceptors.observation import CallObserver
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import PreparedText, TextResult, usage_in_tokens
from qda_worker.observability.logs import CallLog
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelRegistry, ModelState
from qda_worker.scheduling.queue import CAPACITY, ModelQueue
from qda_worker.server.reflection import add_reflection
from qda_worker.services import SERVICES, add_services
from qda_worker.settings import AccessSettings
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
    """The running servers with their registry, model, recorded events and log lines.

    Attributes:
        target: address of the gRPC server.
        http: the HTTP server.
        http_port: its port at 127.0.0.1.
    """

    registry: ModelRegistry
    model: EchoSentiment
    observer: RecordingObserver
    server: grpc.aio.Server
    policy: AccessPolicy
    target: str
    http: HttpServer
    http_port: int
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def queue(self) -> ModelQueue[Any, Any, Any]:
        engine = self.registry.models["echo"].engine
        assert engine is not None
        return engine.queue


@asynccontextmanager
async def echo_server(
    capacity: int = CAPACITY,
    most_bytes: int = MAX_RESPONSE_BYTES,
    access: AccessSettings | None = None,
    credentials: grpc.ServerCredentials | None = None,
    *,
    max_connections: int = MAX_CONNECTIONS,
    cors_origins: Sequence[str] = (),
    http_limits: ClientLimits | None = None,
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
        policy = AccessPolicy(access or AccessSettings(), log, max_calls=1000)
        interceptors = [
            CallObserver([CallLog(log)]),
            AccessInterceptor(policy),
            ErrorInterceptor(log, most_bytes),
            CallLimit(policy.calls),
        ]
        server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
        add_services(server, registry, "host")
        add_reflection(server, SERVICES)
        calls = CallRunner(
            collect_handlers(lambda table: add_services(table, registry, "host")), interceptors
        )
        router = Router({}, ConnectRoute(calls), cors_origins)
        http = HttpServer(router, log, max_connections=max_connections, limits=http_limits)
        address = await http.listen(Address("127.0.0.1", 0))
        assert address.port is not None
        port = (
            server.add_insecure_port("127.0.0.1:0")
            if credentials is None
            else server.add_secure_port("localhost:0", credentials)
        )
        await server.start()
        try:
            yield EchoServer(
                registry, model, observer, server, policy, f"127.0.0.1:{port}", http, address.port, lines
            )
        finally:
            model.gate.set()
            await http.stop(0)
            await server.stop(0)
            queue.close(drain=False, timeout=30)
