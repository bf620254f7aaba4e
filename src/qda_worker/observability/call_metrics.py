"""Metrics of calls, under the names of gRPC proposal A66 as Prometheus spells them, and why calls had no answer."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from qda_worker.observability.call_record import CallRecord

SECONDS: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 300, 1000,
)  # fmt: skip
"""Bounds of times: every second or third of A66's, and two more, for streams run for minutes."""
BYTES: Final = (1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""Bounds of sizes: A66's up to the largest message."""


class CallMetrics:
    """Counts each call once when it starts and once when it ends.

    Labels are bounded: `grpc_method` is one that the server has, or `other`; `reason` a word of the contract.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counter(
            "grpc_server_call_started", "Calls that have started.", ["grpc_method"], registry=registry
        )
        labels = ["grpc_method", "grpc_status"]
        self._seconds = Histogram(
            "grpc_server_call_duration_seconds",
            "From a call's first sign to its end, both as the server sees them.",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        self._sent = Histogram(
            "grpc_server_call_sent_total_compressed_message_size_bytes",
            "Bytes of all messages that were sent in a call.",
            labels,
            buckets=BYTES,
            registry=registry,
        )
        self._received = Histogram(
            "grpc_server_call_rcvd_total_compressed_message_size_bytes",
            "Bytes of all messages that were received in a call.",
            labels,
            buckets=BYTES,
            registry=registry,
        )
        self._under_way = Gauge(
            "qda_calls_under_way",
            "Calls that have started and not ended.",
            ["grpc_method"],
            registry=registry,
        )
        self._without_answer = Counter(
            "qda_calls_without_answer",
            "Calls that were refused, failed or were cancelled, by reason.",
            ["grpc_method", "grpc_status", "reason"],
            registry=registry,
        )

    def on_start(self, record: CallRecord) -> None:
        """A call has come in."""
        self._started.labels(record.method).inc()
        self._under_way.labels(record.method).inc()

    def on_end(self, record: CallRecord) -> None:
        """It has ended."""
        self._under_way.labels(record.method).dec()
        self._seconds.labels(record.method, record.status).observe(record.seconds)
        self._sent.labels(record.method, record.status).observe(record.sent_bytes)
        self._received.labels(record.method, record.status).observe(record.received_bytes)
        if record.status != "OK":
            reason = record.reason or record.status
            self._without_answer.labels(record.method, record.status, reason).inc()
