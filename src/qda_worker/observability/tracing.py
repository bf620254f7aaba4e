"""Traces of calls for OpenTelemetry: a span a call, and below it what its slowest text went through.

Which variables ask for it are OpenTelemetry's own; its libraries read the others (headers, sampling, resource). Nothing
of it is imported where none is set. Attributes are names, counts and times: never a text.
"""

import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from model_cache.errors import UsageError
from qda_worker.observability.call_record import CallRecord
from qda_worker.version import worker_version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_OURS: Final = "qda.v1."
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_MODULES: Final = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
# Statuses that make a server's span an error (OpenTelemetry's conventions for gRPC).
_SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


class Tracing:
    """Hears of each call and makes its spans. Spans leave in a thread of OpenTelemetry's."""

    def __init__(self, provider: "TracerProvider", wall_nanos: Callable[[], int] = time.time_ns) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("qda_worker", worker_version())
        self._propagator = TraceContextTextMapPropagator()
        self._wall_nanos = wall_nanos

    def on_start(self, record: CallRecord) -> None:
        """Begin the span of a call of ours, below the caller's if it sent one (W3C `traceparent`)."""
        from opentelemetry.trace import SpanKind, format_trace_id

        if not record.method.startswith(_OURS):
            return
        carrier = {key: value for key, value in record.metadata if isinstance(value, str)}
        service, _, method = record.method.partition("/")
        span = self._tracer.start_span(
            record.method,
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
            start_time=self._wall_nanos(),
        )
        record.span = span
        record.trace_id = format_trace_id(span.get_span_context().trace_id)

    def on_end(self, record: CallRecord) -> None:
        """End it, with what is known by now."""
        import grpc
        from opentelemetry.trace import Status, StatusCode

        span: Any = record.span
        if span is None or not span.is_recording():
            return
        span.set_attribute("rpc.grpc.status_code", int(grpc.StatusCode[record.status].value[0]))
        span.set_attributes(_attributes(record))
        if record.status in _SERVER_ERRORS:
            span.set_status(Status(StatusCode.ERROR, record.reason or record.status))
        self._add_steps(span, record)
        span.end(span.start_time + _nanos(record.seconds))

    def close(self, timeout: float) -> None:
        """Send what is left, for at most `timeout` seconds: a collector that is away must not hold up the end."""
        thread = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        thread.start()
        thread.join(timeout)

    def _add_steps(self, span: "Span", record: CallRecord) -> None:
        """For each time that a model was asked: what its slowest text went through."""
        from opentelemetry.trace import set_span_in_context

        inside = set_span_in_context(span)
        began: int = span.start_time  # type: ignore[attr-defined]  # only the SDK's span, which it is, tells
        for step in record.steps:
            at = began + max(0, _nanos(step.ended - record.began - step.seconds))
            for name, seconds in step.parts:
                child = self._tracer.start_span(
                    name, context=inside, start_time=at, attributes={"qda.items": step.items}
                )
                at += _nanos(seconds)
                child.end(at)


def open_tracing(environ: Mapping[str, str]) -> Tracing | None:
    """Traces to the endpoint that the environment names; None if it names none. Raises UsageError."""
    off = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    endpoint = next((name for name in _ENDPOINTS if environ.get(name)), None)
    if off or endpoint is None:
        return None
    variable = next((name for name in _PROTOCOLS if environ.get(name)), _PROTOCOLS[0])
    protocol = environ.get(variable) or "http/protobuf"
    if protocol not in _MODULES:
        raise UsageError(f'{variable}: found "{protocol}"', f"give one of {', '.join(_MODULES)}")
    if not (_installed("opentelemetry.sdk.trace") and _installed(_MODULES[protocol])):
        raise UsageError(
            f"{endpoint} asks for traces, and OpenTelemetry is not installed",
            'install the extra: pip install "qda-worker[worker,otel]", or unset the variable',
        )
    return Tracing(_provider(environ, protocol))


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it stands in
        return False


def _provider(environ: Mapping[str, str], protocol: str) -> "TracerProvider":
    from importlib import import_module

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = {"service.version": worker_version()}
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        resource["service.name"] = "qda-worker"
    provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(import_module(_MODULES[protocol]).OTLPSpanExporter()))
    return provider


def _attributes(record: CallRecord) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {
        "qda.model": record.model,
        "qda.caller": record.caller,
        "qda.reason": record.reason,
        "qda.items": record.items,
        "qda.failed_items": record.failed_items,
        "qda.cut_items": record.cut_items,
        "qda.tokens": record.tokens,
        "qda.received_bytes": record.received_bytes,
        "qda.sent_bytes": record.sent_bytes,
    }
    return {name: value for name, value in found.items() if value != ""}


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)
