"""The connection to the API server: outside a cluster, and to one that fails."""

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from cache_warmer.kubernetes.client import ApiServer, connect
from cache_warmer.kubernetes.events import ClusterUnavailableError


def test_outside_a_cluster_the_connection_is_refused() -> None:
    from kubernetes.config import ConfigException

    with pytest.raises(ConfigException):
        connect()


Serve = Callable[[int], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Yield a function that starts an API server which answers each request with a status, and returns its URL."""
    servers: list[http.server.HTTPServer] = []

    def start(status: int) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - the name that http.server looks for

            def log_message(self, format: str, *args: object) -> None:
                """Do nothing."""

        servers.append(http.server.HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _api_server(url: str) -> ApiServer:
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host, configuration.retries = url, False
    return ApiServer(client.ApiClient(configuration))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_that_is_busy_or_lost_etcd_is_unavailable(serve: Serve, status: int) -> None:
    cluster = _api_server(serve(status))
    for request in (
        lambda: cluster.uid("Job", "texts", "warm"),
        lambda: cluster.uid("Namespace", "", "kube-system"),
        lambda: cluster.create_event("texts", {"metadata": {}, "involvedObject": {}}),
    ):
        with pytest.raises(ClusterUnavailableError, match=str(status)):
            request()


def test_an_api_server_that_refuses_connections_is_unavailable() -> None:
    with pytest.raises(ClusterUnavailableError, match="refused"):
        _api_server("http://127.0.0.1:9").uid("Job", "texts", "warm")


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_not_an_outage(serve: Serve, status: int) -> None:
    from kubernetes.client import ApiException

    with pytest.raises(ApiException):
        _api_server(serve(status)).uid("Job", "texts", "warm")
