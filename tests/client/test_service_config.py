"""The service config that docs/calling.md gives to other languages, used by gRPC alone against a fake worker."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
import pytest

from qda.v1 import sentiment_pb2, sentiment_pb2_grpc, text_pb2
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import hang, refuse
from tests.support.service_config import documented_service_config

REQUEST: Final = sentiment_pb2.AnalyzeSentimentRequest(texts=[text_pb2.Text(content="gut")])


@contextmanager
def plain_stub(
    *workers: FakeWorker, health: bool = False
) -> Iterator[sentiment_pb2_grpc.SentimentServiceStub]:
    config = documented_service_config(health=health)
    target = "ipv4:" + ",".join(worker.target for worker in workers)
    with grpc.insecure_channel(target, [("grpc.service_config", config)]) as channel:
        yield sentiment_pb2_grpc.SentimentServiceStub(channel)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_call_that_a_stopping_worker_ended_is_sent_again(worker: FakeWorker, code: grpc.StatusCode) -> None:
    worker.faults = [refuse(code), refuse(code)]
    with plain_stub(worker) as stub:
        assert len(stub.AnalyzeSentiment(REQUEST, timeout=30).results) == 1
    assert len(worker.calls) == 3


def test_a_call_that_its_caller_cancelled_is_not_sent_again(worker: FakeWorker) -> None:
    arrived, released = threading.Event(), threading.Event()
    worker.faults = [hang(arrived, released)]
    with plain_stub(worker) as stub:
        call = stub.AnalyzeSentiment.future(REQUEST, timeout=30)
        assert arrived.wait(30)
        call.cancel()
        released.set()
        with pytest.raises(grpc.FutureCancelledError):
            call.result()
        assert len(stub.AnalyzeSentiment(REQUEST, timeout=30).results) == 1
    assert len(worker.calls) == 2


def test_a_worker_that_drains_is_left_before_it_ends_its_connections(worker: FakeWorker) -> None:
    second = FakeWorker(name="second").start()
    try:
        worker.health[""] = 2
        with plain_stub(worker, second, health=True) as stub:
            for _ in range(6):
                stub.AnalyzeSentiment(REQUEST, timeout=30, wait_for_ready=True)
        assert (len(worker.calls), len(second.calls)) == (0, 6)
    finally:
        second.stop()


def test_each_service_of_unary_calls_is_in_the_documented_config() -> None:
    config = json.loads(documented_service_config())
    names = {name["service"] for method in config["methodConfig"] for name in method["name"]}
    assert names == {
        f"qda.v1.{name}Service"
        for name in ("Sentiment", "Entity", "Syntax", "Embedding", "Paraphrase", "Model")
    }
    assert config["healthCheckConfig"] == {"serviceName": ""}
