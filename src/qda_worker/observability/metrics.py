"""The cache's status for Prometheus, read from the fleet at each scrape: nothing is counted twice or kept up to date.

The HTTP server runs in threads of its own; it reads plain attributes that the event loop replaces whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.fleet import Fleet, State
from qda_worker.version import worker_version


class CacheMetrics(Collector):
    """What the last look at the cache found, and which models serve."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment."""
        fleet = self._fleet
        yield InfoMetricFamily(
            "qda_worker_build",
            "The worker's version.",
            {"version": worker_version(), "generation": fleet.generation},
        )
        complete = GaugeMetricFamily(
            "qda_cache_complete", "1 if the last check found the cache complete, else 0."
        )
        complete.add_metric([], float(fleet.complete))
        yield complete
        checked = GaugeMetricFamily(
            "qda_cache_last_check_timestamp_seconds", "When the cache was last checked."
        )
        if fleet.checked_at is not None:
            checked.add_metric([], fleet.checked_at)
        yield checked
        yield self._problems()
        restart = GaugeMetricFamily(
            "qda_cache_restart_needed", "1 if a file in use was replaced since it was loaded."
        )
        restart.add_metric([], float(fleet.restart_needed))
        yield restart
        loaded = GaugeMetricFamily(
            "qda_model_loaded", "1 if the model has loaded and answers, else 0.", labels=["model"]
        )
        for key, member in fleet.members.items():
            loaded.add_metric([key], float(member.state is State.SERVING))
        yield loaded

    def _problems(self) -> GaugeMetricFamily:
        problems = GaugeMetricFamily(
            "qda_cache_problems",
            "Problems that the last check found; model is empty for the whole cache's.",
            labels=["model", "reason"],
        )
        if self._fleet.report is not None:
            counts = Counter(("", str(problem.reason)) for problem in self._fleet.report.problems)
            for model in self._fleet.report.models:
                counts.update((model.key, str(problem.reason)) for problem in model.problems)
            for labels, count in sorted(counts.items()):
                problems.add_metric(list(labels), float(count))
        return problems


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


def serve_metrics(fleet: Fleet, address: Address) -> MetricsServer:
    """Serve the metrics of `fleet` at `http://ADDRESS/metrics`. Raises UsageError."""
    registry = CollectorRegistry()
    registry.register(CacheMetrics(fleet))
    try:
        server, thread = start_http_server(address.port or 0, address.host, registry)
    except OSError as error:
        raise UsageError(
            f"--metrics-listen {address}: {error.strerror or error}",
            "choose another port, or stop what listens there",
        ) from error
    return MetricsServer(server, thread)
