"""A small worker for the client's tests: a real gRPC server that speaks qda.v1 and answers by rule, without any model.

Sentiment goes by a smile or a frown; entities are the words with a capital; a vector holds the text's length and its
vowels; equal lengths are paraphrases. Faults are put into `script`: each call takes the next one, if there is one.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from tests.support import fake_worker_services
from tests.support.grpc_faults import Fault


@dataclass
class Seen:
    """One call as the worker saw it."""

    method: str
    request: Any
    metadata: dict[str, str]
    remaining: float | None


@dataclass
class FakeWorker:
    """The server, what it has seen, and what it shall do."""

    name: str = "fake"
    health: dict[str, int] = field(default_factory=lambda: {"": 1})
    script: list[Fault] = field(default_factory=list)
    calls: list[Seen] = field(default_factory=list)
    # For each stream: after how many results it breaks with UNAVAILABLE.
    stream_breaks: list[int] = field(default_factory=list)
    target: str = ""
    _server: grpc.Server | None = None

    def start(
        self, credentials: grpc.ServerCredentials | None = None, address: str = "127.0.0.1:0"
    ) -> "FakeWorker":
        """Listens on a free port, or at `address`."""
        options = [("grpc.max_receive_message_length", 16 * 2**20), ("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(8), options=options)
        fake_worker_services.add_to(server, self)
        server.add_generic_rpc_handlers([_health_handler(self)])
        port = (
            server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        )
        server.start()
        self.target = f"127.0.0.1:{port}"
        self._server = server
        return self

    def stop(self) -> None:
        """Ends at once, in the midst of calls too."""
        if self._server is not None:
            self._server.stop(None).wait()

    def meet(self, request: Any, context: grpc.ServicerContext) -> None:
        """Notes a call, then lets it meet the next fault."""
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.calls.append(Seen(type(request).__name__, request, metadata, context.time_remaining()))
        if self.script:
            self.script.pop(0)(context)


def _health_handler(worker: FakeWorker) -> grpc.GenericRpcHandler:
    def check(request: StringValue, context: grpc.ServicerContext) -> Int32Value:
        if request.value not in worker.health:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return Int32Value(value=worker.health[request.value])

    def watch(request: StringValue, context: grpc.ServicerContext) -> Iterator[Int32Value]:
        yield Int32Value(value=worker.health.get(request.value, 3))
        while context.is_active():
            time.sleep(0.05)

    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health",
        {
            "Check": grpc.unary_unary_rpc_method_handler(
                check, StringValue.FromString, Int32Value.SerializeToString
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                watch, StringValue.FromString, Int32Value.SerializeToString
            ),
        },
    )
