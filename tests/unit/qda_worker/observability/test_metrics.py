"""Which series exist before their first event, and the server of the metrics with and without IPv6."""

import errno
import os
import urllib.request
from threading import Thread
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest, start_http_server

from model_cache.catalog.catalog import Catalog
from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.cpu import CpuBudget, ThreadSource
from qda_worker.observability.call_record import CallRecord
from qda_worker.observability.metrics import MAX_PRINCIPALS, Metrics, serve_metrics
from qda_worker.registry.registry import ModelRegistry


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


def test_series_of_errors_exist_before_the_first_error() -> None:
    metrics = Metrics(ModelRegistry(Catalog((), ""), ()), CpuBudget(1, ThreadSource.AFFINITY, 1), "c" * 64)
    metrics.queues.observer("ner")
    for method in ("qda.v1.EntityService/RecognizeEntities", "grpc.health.v1.Health/Check"):
        metrics.calls.on_start(CallRecord(method, 0.0))
    lines = generate_latest(metrics.registry).decode().splitlines()

    for status, reason in (
        ("INTERNAL", "MODEL_FAILED"),
        ("UNAVAILABLE", "NOT_READY"),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS"),
    ):
        labels = (
            f'grpc_method="qda.v1.EntityService/RecognizeEntities",grpc_status="{status}",reason="{reason}"'
        )
        assert f"qda_calls_without_answer_total{{{labels}}} 0.0" in lines
    assert 'qda_texts_refused_total{model="ner",reason="QUEUE_FULL"} 0.0' in lines
    assert 'qda_texts_total{model="ner",reason="OK"} 0.0' in lines
    assert not [line for line in lines if "without_answer" in line and "Health" in line and "#" not in line]
    (build,) = (line for line in lines if line.startswith("qda_worker_build_info"))
    assert f'catalog="{"c" * 64}"' in build


def test_names_of_callers_have_series_of_their_own_up_to_a_limit() -> None:
    metrics = Metrics(ModelRegistry(Catalog((), "catalog.yaml"), ()), CpuBudget(1, ThreadSource.OPTION, 1))
    for number in range(MAX_PRINCIPALS + 20):
        record = CallRecord("qda.v1.S/M", principal=f"caller-{number}", status="OK", items=3)
        metrics.calls.on_start(record)
        metrics.calls.on_end(record)
    page = generate_latest(metrics.registry).decode()
    assert 'qda_caller_calls_total{grpc_status="OK",principal="caller-7"} 1.0' in page
    assert 'qda_caller_calls_total{grpc_status="OK",principal="other"} 20.0' in page
    assert 'qda_caller_texts_total{principal="other"} 60.0' in page
    assert page.count("qda_caller_texts_total{") == MAX_PRINCIPALS + 1
