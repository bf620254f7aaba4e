"""The worker's Prometheus metrics: their registry, the collectors of calls and queues, and the HTTP server for scrapes.

Three sources feed one `CollectorRegistry`, which is this worker's own and not the library's global one:

- `CallMetrics` is a `CallListener` of the gRPC server and runs on the event loop. Its metrics have the names of gRPC
  proposal A66, in Prometheus spelling.
- `QueueMetrics` makes one `scheduling.observer.Observer` a model, which that model's threads call.
- `CacheMetrics` and `WarmMetrics` (`cache_metrics`) read their values at each scrape.

`prometheus_client` serves `/metrics` from threads of its own; counters and histograms have locks of their own. Labels
are bounded: models of the catalog, methods of the server or `other`, names of tokens and certificates up to a limit,
and reasons of the contract.
"""

import errno
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
from qda_worker.cpu import CpuBudget
from qda_worker.errors import (
    DeadlineTooShort,
    Draining,
    ModelFailed,
    NotReady,
    QueueFull,
    TooManyCalls,
    WorkerError,
)
from qda_worker.observability.cache_metrics import CacheMetrics
from qda_worker.observability.call_record import CallRecord
from qda_worker.registry.registry import ModelRegistry
from qda_worker.scheduling.observer import Observer

# Bucket bounds of durations, in seconds: every second or third bound of A66, and 300 and 1000 for streams of minutes.
SECONDS: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 300, 1000,
)  # fmt: skip
# Bucket bounds of message sizes, in bytes: those of A66 up to the largest message.
BYTES: Final = (1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
# Bucket bounds of units in a batch.
_UNITS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# Bucket bounds of tokens in a batch.
_TOKENS: Final = (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
# Bucket bounds of ratios between 0 and 1.
_RATIOS: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
# Number of names of callers with series of their own.
MAX_PRINCIPALS: Final = 200
# Errors that alerts count. Their series exist with the value 0 before the first error: Prometheus sees no increase in a
# counter that begins with its first event, so an alert would miss a single burst of errors.
_REFUSALS: Final[tuple[type[WorkerError], ...]] = (QueueFull, DeadlineTooShort)
_CALL_ERRORS: Final[tuple[type[WorkerError], ...]] = (
    *_REFUSALS,
    TooManyCalls,
    NotReady,
    Draining,
    ModelFailed,
)


class Metrics:
    """All metrics of one worker.

    Attributes:
        registry: what a scrape returns.
        calls: the listener for the gRPC server.
        queues: makes the observers for the models' queues.
    """

    def __init__(self, model_registry: ModelRegistry, cpu: CpuBudget, catalog_digest: str = "") -> None:
        """Create the metrics of a worker.

        Args:
            model_registry: what it serves.
            cpu: its compute threads, and what their number follows from.
            catalog_digest: SHA-256 of the catalog's file; empty for the built-in catalog.
        """
        self.registry = CollectorRegistry()
        self.calls = CallMetrics(self.registry)
        self.queues = QueueMetrics(self.registry)
        self.registry.register(CacheMetrics(model_registry, catalog_digest))
        self._add_cpu_budget(cpu)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def _add_cpu_budget(self, cpu: CpuBudget) -> None:
        threads = Gauge("qda_compute_threads", "Compute threads.", ["source"], registry=self.registry)
        threads.labels(cpu.source).set(cpu.threads)
        if cpu.quota is not None:
            quota = Gauge("qda_cpu_quota_cores", "CPU quota of the control group.", registry=self.registry)
            quota.set(cpu.quota)

    def add_certificate(self, expires: Callable[[], float]) -> None:
        """Add the expiry time of the TLS certificate.

        Args:
            expires: returns the time in seconds since 1970; called at each scrape.
        """
        Gauge(
            "qda_tls_certificate_expiry_timestamp_seconds",
            "When the certificate of the gRPC port expires.",
            registry=self.registry,
        ).set_function(expires)


class CallMetrics:
    """Counts each call once when it starts and once when it ends."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counter(
            "grpc_server_call_started", "Calls that have started.", ["grpc_method"], registry=registry
        )
        labels = ["grpc_method", "grpc_status"]
        self._seconds = Histogram(
            "grpc_server_call_duration_seconds",
            "Duration of a call, as the server sees it.",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        self._sent = Histogram(
            "grpc_server_call_sent_total_compressed_message_size_bytes",
            "Size of all messages sent in a call, in bytes.",
            labels,
            buckets=BYTES,
            registry=registry,
        )
        self._received = Histogram(
            "grpc_server_call_rcvd_total_compressed_message_size_bytes",
            "Size of all messages received in a call, in bytes.",
            labels,
            buckets=BYTES,
            registry=registry,
        )
        self._in_flight = Gauge(
            "qda_calls_under_way",
            "Calls in flight: started and not ended.",
            ["grpc_method"],
            registry=registry,
        )
        self._without_answer = Counter(
            "qda_calls_without_answer",
            "Calls that were refused, failed or cancelled, by reason.",
            ["grpc_method", "grpc_status", "reason"],
            registry=registry,
        )
        self._known_methods: set[str] = set()
        self._caller_calls = Counter(
            "qda_caller_calls",
            "Calls by the name of the caller's token or certificate, if the worker requires one.",
            ["principal", "grpc_status"],
            registry=registry,
        )
        self._caller_texts = Counter(
            "qda_caller_texts", "Texts by the name of the caller.", ["principal"], registry=registry
        )
        self._principals: set[str] = set()

    def on_start(self, record: CallRecord) -> None:
        """Count the start of a call."""
        if record.is_qda_method and record.method not in self._known_methods:
            self._known_methods.add(record.method)
            self._without_answer.labels(record.method, "INTERNAL", "INTERNAL")
            for error in _CALL_ERRORS:
                self._without_answer.labels(record.method, error.status, error.reason)
        self._started.labels(record.method).inc()
        self._in_flight.labels(record.method).inc()

    def on_end(self, record: CallRecord) -> None:
        """Count the end of a call, with its duration and sizes."""
        self._in_flight.labels(record.method).dec()
        self._seconds.labels(record.method, record.status).observe(record.seconds)
        self._sent.labels(record.method, record.status).observe(record.sent_bytes)
        self._received.labels(record.method, record.status).observe(record.received_bytes)
        if record.principal and record.is_qda_method:
            principal = self._principal_label(record.principal)
            self._caller_calls.labels(principal, record.status).inc()
            self._caller_texts.labels(principal).inc(record.items)
        if record.status != "OK":
            reason = record.reason or record.status
            self._without_answer.labels(record.method, record.status, reason).inc()

    def _principal_label(self, principal: str) -> str:
        """Return a name, or `other` above the limit: a file of tokens may change any number of times."""
        if principal not in self._principals:
            if len(self._principals) >= MAX_PRINCIPALS:
                return "other"
            self._principals.add(principal)
        return principal


class QueueMetrics:
    """The metrics of all queues; `observer` returns the part of one model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, help, ["model"], buckets=buckets, registry=registry)

        self._queue = histogram(
            "qda_queue_seconds",
            "Time of a text in the queue: from its arrival to its first batch, without its tokenization.",
            SECONDS,
        )
        self._compute = histogram("qda_compute_seconds", "Computation time of a batch.", SECONDS)
        self._items = histogram("qda_batch_items", "Units (texts, or windows of texts) in a batch.", _UNITS)
        self._tokens = histogram(
            "qda_batch_tokens",
            "Tokens in a batch, without padding; characters for models that count characters.",
            _TOKENS,
        )
        self._padding = histogram(
            "qda_batch_padding_ratio",
            "Share of padding in the cost of a batch. Padding in attention alone costs a tenth of a token.",
            _RATIOS,
        )
        self._texts = Counter(
            "qda_texts",
            "Texts with an outcome: OK, or the reason of the text's own error.",
            ["model", "reason"],
            registry=registry,
        )
        self._cut = Counter(
            "qda_texts_truncated",
            "Texts of which only the beginning was analyzed.",
            ["model"],
            registry=registry,
        )
        self._refused = Counter(
            "qda_texts_refused",
            "Texts of calls that were refused as a whole.",
            ["model", "reason"],
            registry=registry,
        )
        self._cancelled = Counter(
            "qda_texts_cancelled",
            "Texts whose call had ended before they were computed.",
            ["model", "reason"],
            registry=registry,
        )

    def observer(self, model: str) -> Observer:
        """Return the observer of a model's queue. Its series exist from now on, with the value 0."""
        self._texts.labels(model, "OK")
        for refusal in _REFUSALS:
            self._refused.labels(model, refusal.reason)
        return _QueueObserver(
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


class _QueueObserver:
    """Counts the events of one model's queue. Any thread may call it."""

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

    def on_batch(self, units: int, tokens: int, cost: float, seconds: float) -> None:
        """Count a computed batch."""
        self._histograms["compute"].observe(seconds)
        self._histograms["items"].observe(units)
        self._histograms["tokens"].observe(tokens)
        if cost:
            self._histograms["padding"].observe(1 - tokens / cost)

    def on_queue_seconds(self, seconds: float) -> None:
        """Observe the queue time of a text."""
        self._histograms["queue"].observe(seconds)

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """Count the outcome of a text."""
        self._texts.labels(self._model, reason).inc()
        if cut:
            self._cut.inc()

    def on_refused(self, reason: str, texts: int) -> None:
        """Count the texts of a refused call."""
        self._refused.labels(self._model, reason).inc(texts)

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Count the texts of a cancelled call."""
        self._cancelled.labels(self._model, reason).inc(texts)


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """A running HTTP server and its thread."""

    server: WSGIServer
    thread: Thread

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server.server_port)

    def close(self) -> None:
        """Stop the server and join its thread."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve_metrics(
    registry: CollectorRegistry,
    address: Address,
    start: Callable[[int, str, CollectorRegistry], tuple[WSGIServer, Thread]] = start_http_server,
) -> MetricsServer:
    """Serve the metrics of `registry` at `http://ADDRESS/metrics`, in a thread of its own.

    Args:
        registry: of the metrics.
        address: `[::]` means every address, of IPv4 alone where the kernel has no IPv6.
        start: starts the server at a port and a host.

    Raises:
        UsageError: the address cannot be bound.
    """
    try:
        try:
            server, thread = start(address.port or 0, address.host, registry)
        except OSError as error:
            if address.host != "::" or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            server, thread = start(address.port or 0, "0.0.0.0", registry)  # noqa: S104  # what was asked for
    except OSError as error:
        raise UsageError(
            f"--metrics-listen {address}: {error.strerror or error}",
            "choose another port, or stop the program that uses it",
        ) from error
    return MetricsServer(server, thread)
