"""The server of the metrics on machines with and without IPv6."""

import errno
import os
import urllib.request
from threading import Thread
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.observability.metrics import serve_metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("texts", "Texts.", registry=registry).inc()
    return registry


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_all_addresses_are_those_of_ipv4_where_the_kernel_has_no_ipv6(
    registry: CollectorRegistry, number: int
) -> None:
    def start(port: int, host: str, served: CollectorRegistry) -> tuple[WSGIServer, Thread]:
        if ":" in host:
            raise OSError(number, os.strerror(number))
        return start_http_server(port, host, served)

    server = serve_metrics(registry, Address("::", 0), start)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            assert b"texts_total 1.0" in answer.read()
    finally:
        server.close()


def test_an_ipv6_address_that_is_missing_is_an_error(registry: CollectorRegistry) -> None:
    def start(port: int, host: str, served: CollectorRegistry) -> tuple[WSGIServer, Thread]:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    with pytest.raises(UsageError, match=r"\[fd00::1\]:9464"):
        serve_metrics(registry, Address("fd00::1", 9464), start)
