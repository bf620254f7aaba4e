"""A small worker for the client's tests: a real gRPC server for qda.v1 that computes its answers without any model.

Texts with `:)` are positive, others neutral; words that begin with a capital letter are entities; a vector holds the
numbers of characters and vowels; texts of equal length are paraphrases. The server runs in threads of gRPC's. Each call
takes the next item of `faults`, if there is one, before it is answered.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from tests.support import fake_worker_services
from tests.support.grpc_faults import Fault


@dataclass
class RecordedCall:
    """A call that the worker received; `remaining` is the time to its deadline in seconds."""

    method: str
    request: Any
    metadata: dict[str, str]
    remaining: float | None


@dataclass
class FakeWorker:
    """The server with its settings and its calls.

    Attributes:
        name: its version in `Provenance`.
        health: the status of each service, by name; `""` is the whole worker.
        faults: what the next calls meet.
        calls: the calls so far.
        on_request: called with each request before it is answered; may abort or delay it, as a fault may.
        stream_breaks: for each of the next streams: after how many results it fails with UNAVAILABLE.
        target: its address.
    """

    name: str = "fake"
    health: dict[str, int] = field(default_factory=lambda: {"": 1})
    faults: list[Fault] = field(default_factory=list)
    calls: list[RecordedCall] = field(default_factory=list)
    on_request: Callable[[Any, grpc.ServicerContext], None] | None = None
    stream_breaks: list[int] = field(default_factory=list)
    target: str = ""
    _server: grpc.Server | None = None

    def start(
        self, credentials: grpc.ServerCredentials | None = None, address: str = "127.0.0.1:0"
    ) -> "FakeWorker":
        """Listen on a free port, or at `address`."""
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
        """Stop at once, without finishing calls in progress."""
        if self._server is not None:
            self._server.stop(None).wait()

    def receive(self, request: Any, context: grpc.ServicerContext) -> None:
        """Record a call, then apply the next fault to it."""
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.calls.append(RecordedCall(type(request).__name__, request, metadata, context.time_remaining()))
        if self.on_request is not None:
            self.on_request(request, context)
        if self.faults:
            self.faults.pop(0)(context)


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
