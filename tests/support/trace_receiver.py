"""A collector of traces: receives OTLP over HTTP and gRPC, and keeps the spans."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

GRPC_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Received:
    """The received requests, as bytes and as spans."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    @property
    def spans(self) -> list[Span]:
        """The spans in the order of their arrival."""
        return [
            span
            for message in self.raw
            for resource in ExportTraceServiceRequest.FromString(message).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str]:
        """Resource attributes of the first request."""
        first = ExportTraceServiceRequest.FromString(self.raw[0]).resource_spans[0].resource
        return {str(key): str(value) for key, value in attributes(first.attributes).items()}


def attributes(given: Iterable[KeyValue]) -> dict[str, str | int]:
    """Return attributes as a dict."""
    found: dict[str, str | int] = {}
    for pair in given:
        kind = pair.value.WhichOneof("value")
        assert kind is not None
        found[pair.key] = getattr(pair.value, kind)
    return found


@contextmanager
def http_receiver() -> Iterator[tuple[str, Received]]:
    """Its URL and what it receives."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces", self.path
            received.raw.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_receiver() -> Iterator[tuple[str, Received]]:
    """Its URL and what it receives."""
    received = Received()

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        received.raw.append(request)
        return ExportTraceServiceResponse().SerializeToString()

    service, _, method = GRPC_METHOD.lstrip("/").partition("/")
    server = grpc.server(ThreadPoolExecutor(2))
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method: grpc.unary_unary_rpc_method_handler(export)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()
