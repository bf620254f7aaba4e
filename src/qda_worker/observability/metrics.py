"""All metrics of one worker, in one registry of its own.

Where Prometheus scrapes: a small HTTP server in threads of its own.

Metrics of calls, under the names of gRPC proposal A66 as Prometheus spells them, and why calls had no answer.

Metrics of the queues: how long texts wait, how well batches are filled, and what became of each text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.observability.cache_metrics import CacheMetrics
from qda_worker.observability.call_record import CallRecord
from qda_worker.registry.registry import ModelRegistry
from qda_worker.scheduling.observer import Observer


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """A running HTTP server and its thread."""

    server: WSGIServer
    thread: Thread

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_port)

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve_metrics(registry: CollectorRegistry, address: Address) -> MetricsServer:
    """Serve the metrics of `registry` at `http://ADDRESS/metrics`. Raises UsageError."""
    try:
        server, thread = start_http_server(address.port or 0, address.host, registry)
    except OSError as error:
        raise UsageError(
            f"--metrics-listen {address}: {error.strerror or error}",
            "choose another port, or stop what listens there",
        ) from error
    return MetricsServer(server, thread)


# Bounds of times: every second or third of A66's, and two more, for streams run for minutes.
SECONDS: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 300, 1000,
)  # fmt: skip
# Bounds of sizes: A66's up to the largest message.
BYTES: Final = (1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


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


_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS: Final = (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


class QueueMetrics:
    """The metrics; `of` gives each model's queue who counts for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, help, ["model"], buckets=buckets, registry=registry)

        self._queue = histogram(
            "qda_queue_seconds", "From a text's arrival to its first batch, less its tokenising.", SECONDS
        )
        self._compute = histogram("qda_compute_seconds", "Of each batch.", SECONDS)
        self._items = histogram("qda_batch_items", "Units (texts, or windows of texts) in a batch.", _ITEMS)
        self._tokens = histogram(
            "qda_batch_tokens",
            "In a batch, without padding; characters where the model counts those.",
            _TOKENS,
        )
        self._padding = histogram(
            "qda_batch_padding_ratio", "Share of a batch's computed cells that is padding.", _SHARES
        )
        self._texts = Counter(
            "qda_texts",
            "Texts that were answered (OK), or have an error of their own.",
            ["model", "reason"],
            registry=registry,
        )
        self._cut = Counter(
            "qda_texts_truncated",
            "Texts that were answered from their beginning only.",
            ["model"],
            registry=registry,
        )
        self._refused = Counter(
            "qda_texts_refused",
            "Texts whose whole call was turned away.",
            ["model", "reason"],
            registry=registry,
        )
        self._cancelled = Counter(
            "qda_texts_cancelled",
            "Texts for which nobody waited any more.",
            ["model", "reason"],
            registry=registry,
        )

    def of(self, model: str) -> Observer:
        """Who counts for this model's queue; its series exist from now on, at 0."""
        return _ModelMetrics(
            histograms={
                "queue": self._queue.labels(model),
                "compute": self._compute.labels(model),
                "items": self._items.labels(model),
                "tokens": self._tokens.labels(model),
                "padding": self._padding.labels(model),
            },
            cut=self._cut.labels(model),
            cancelled=self._cancelled,
            texts=self._texts,
            refused=self._refused,
            model=model,
        )


class _ModelMetrics:
    def __init__(
        self,
        *,
        histograms: Mapping[str, Histogram],
        cut: Counter,
        cancelled: Counter,
        texts: Counter,
        refused: Counter,
        model: str,
    ) -> None:
        self._histograms = histograms
        self._cut = cut
        self._cancelled = cancelled
        self._texts = texts
        self._refused = refused
        self._model = model

    def on_batch(self, units: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A batch was computed."""
        self._histograms["compute"].observe(seconds)
        self._histograms["items"].observe(units)
        self._histograms["tokens"].observe(tokens)
        if padded_tokens:
            self._histograms["padding"].observe(1 - tokens / padded_tokens)

    def on_queue_seconds(self, seconds: float) -> None:
        """A text has waited so long."""
        self._histograms["queue"].observe(seconds)

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """A text has its outcome."""
        self._texts.labels(self._model, reason).inc()
        if cut:
            self._cut.inc()

    def on_refused(self, reason: str, texts: int) -> None:
        """A call was turned away."""
        self._refused.labels(self._model, reason).inc(texts)

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Nobody waits any more."""
        self._cancelled.labels(self._model, reason).inc(texts)


class Metrics:
    """`calls` listens to the server, `queues` to the models' queues; `registry` is what is scraped."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self.registry = CollectorRegistry()
        self.calls = CallMetrics(self.registry)
        self.queues = QueueMetrics(self.registry)
        self.registry.register(CacheMetrics(fleet))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def add_certificate(self, expires: Callable[[], float]) -> None:
        """Tell when the certificate in use expires. `expires`: seconds since 1970, asked at each scrape."""
        Gauge(
            "qda_tls_certificate_expiry_timestamp_seconds",
            "When the certificate of the gRPC port expires.",
            registry=self.registry,
        ).set_function(expires)
