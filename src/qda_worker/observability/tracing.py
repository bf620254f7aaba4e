"""OpenTelemetry traces: one span a call, with child spans for tokenization, queue and computation.

OpenTelemetry's own variables enable it: `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`. Its
libraries read the others (headers, sampling, resource attributes). If neither is set, none of it is imported.

`Tracing` is a `CallListener` and runs on the event loop. It starts the span when a call starts, as a child of the
caller's span if the request carries a W3C `traceparent`, and ends it with what the call's record holds. Child spans
are created at the end, from the measured durations of each inference step's slowest text. A background thread of the
SDK exports the spans in batches; an unreachable collector delays no calls, and the shutdown by a timeout at most.

Attributes are names, counts and durations; texts never get into a span.
"""

import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from model_cache.errors import UsageError
from model_cache.urls import shown_value
from qda_worker.observability.call_record import CallRecord
from qda_worker.version import worker_version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# The exporter module of each protocol.
_EXPORTERS: Final = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
# Statuses that mark a server span as an error (OpenTelemetry's semantic conventions for gRPC).
_SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


def open_tracing(environ: Mapping[str, str]) -> "Tracing | None":
    """Return the exporter of traces that the environment configures; None if it configures none.

    Raises:
        UsageError: the protocol is unknown, or OpenTelemetry is not installed.
    """
    disabled = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    endpoint = next((name for name in _ENDPOINTS if environ.get(name)), None)
    if disabled or endpoint is None:
        return None
    variable = next((name for name in _PROTOCOLS if environ.get(name)), _PROTOCOLS[0])
    protocol = environ.get(variable) or "http/protobuf"
    if protocol not in _EXPORTERS:
        raise UsageError(
            f'{variable}: found "{shown_value(protocol)[:200]}"', f"give one of {', '.join(_EXPORTERS)}"
        )
    if not (_is_installed("opentelemetry.sdk.trace") and _is_installed(_EXPORTERS[protocol])):
        raise UsageError(
            f"{endpoint} is set, but OpenTelemetry is not installed",
            'install the extra: pip install "qda-worker[worker,otel]", or unset the variable',
        )
    return Tracing(_create_provider(environ, protocol))


class Tracing:
    """The `CallListener` that makes the spans of each call; see the module."""

    def __init__(self, provider: "TracerProvider", wall_nanos: Callable[[], int] = time.time_ns) -> None:
        """Create the listener.

        Args:
            provider: exports the spans; `close` shuts it down.
            wall_nanos: the current time in nanoseconds since 1970.
        """
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("qda_worker", worker_version())
        self._propagator = TraceContextTextMapPropagator()
        self._wall_nanos = wall_nanos

    def on_start(self, record: CallRecord) -> None:
        """Start the span of a call of `qda.v1`, as a child of the caller's span if it sent one."""
        from opentelemetry.trace import SpanKind, format_trace_id

        if not record.is_qda_method:
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
        """Set the attributes of the span, add its child spans, and end it."""
        import grpc
        from opentelemetry.trace import Status, StatusCode

        span: Any = record.span
        if span is None or not span.is_recording():
            return
        span.set_attribute("rpc.grpc.status_code", int(grpc.StatusCode[record.status].value[0]))
        span.set_attributes(_span_attributes(record))
        if record.status in _SERVER_ERRORS:
            span.set_status(Status(StatusCode.ERROR, record.reason or record.status))
        self._add_steps(span, record)
        span.end(span.start_time + _nanos(record.seconds))

    def close(self, timeout: float) -> None:
        """Export the remaining spans, for at most `timeout` seconds: a collector may be unreachable."""
        thread = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        thread.start()
        thread.join(timeout)

    def _add_steps(self, span: "Span", record: CallRecord) -> None:
        """Add the child spans of each inference step: tokenize, queue and compute of its slowest text."""
        from opentelemetry.trace import set_span_in_context

        parent = set_span_in_context(span)
        started: int = span.start_time  # type: ignore[attr-defined]  # an attribute of the SDK's span only
        for step in record.steps:
            at = started + max(0, _nanos(step.ended - record.began - step.seconds))
            for name, seconds in step.parts:
                child = self._tracer.start_span(
                    name, context=parent, start_time=at, attributes={"qda.items": step.items}
                )
                at += _nanos(seconds)
                child.end(at)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _create_provider(environ: Mapping[str, str], protocol: str) -> "TracerProvider":
    from importlib import import_module

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = {"service.version": worker_version()}
    has_name = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    if not has_name:
        resource["service.name"] = "qda-worker"
    provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(import_module(_EXPORTERS[protocol]).OTLPSpanExporter()))
    return provider


def _span_attributes(record: CallRecord) -> dict[str, str | int | float]:
    attributes: dict[str, str | int | float] = {
        "qda.model": record.model,
        "qda.caller": record.caller,
        "qda.reason": record.reason,
        "qda.items": record.items,
        "qda.failed_items": record.failed_items,
        "qda.cut_items": record.cut_items,
        "qda.cached_items": record.cached_items,
        "qda.tokens": record.tokens,
        "qda.received_bytes": record.received_bytes,
        "qda.sent_bytes": record.sent_bytes,
    }
    return {name: value for name, value in attributes.items() if value != ""}


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)
