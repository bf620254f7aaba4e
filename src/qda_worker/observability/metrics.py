"""All metrics of one worker, in one registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from qda_worker.fleet.fleet import Fleet
from qda_worker.observability.cache_metrics import CacheMetrics
from qda_worker.observability.call_metrics import CallMetrics
from qda_worker.observability.queue_metrics import QueueMetrics


class Metrics:
    """`calls` listens to the server, `queues` to the models' queues; `registry` is what is scraped."""

    def __init__(self, fleet: Fleet) -> None:
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
