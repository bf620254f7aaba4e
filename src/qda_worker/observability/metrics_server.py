"""Where Prometheus scrapes: a small HTTP server in threads of its own."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from model_cache.errors import UsageError
from qda_worker.running.addresses import Address


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
