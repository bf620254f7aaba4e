"""SIGTERM: not ready at once, serving on for the delay, calls in flight answered, exit 0. A second signal: at once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from qda.v1 import entity_pb2, entity_pb2_grpc, text_pb2
from tests.service.worker.calls import PATIENCE
from tests.service.worker.process import ServeProcess, serving
from tests.service.worker.world import World

MANY = [text_pb2.Text(content=f"Frau Müller las Text {number} in Köln. " * 10) for number in range(2_000)]


def options(world: World, *more: str) -> list[str]:
    return [
        *("--catalog", str(world.catalog_file), "--cache", str(world.cache), "--no-fetch"),
        *("--model", "tiny-ner", *more),
    ]


def request(texts: list[text_pb2.Text]) -> entity_pb2.RecognizeEntitiesRequest:
    encoding = text_pb2.OFFSET_ENCODING_CODE_POINTS
    return entity_pb2.RecognizeEntitiesRequest(texts=texts, offset_encoding=encoding)


def start_call(channel: grpc.Channel) -> Any:
    stub = entity_pb2_grpc.EntityServiceStub(channel)
    return stub.RecognizeEntities.future(request(MANY), timeout=PATIENCE)


def wait_for_computing(worker: ServeProcess, call: Any) -> None:
    """A second call is answered only after the first was taken in."""
    with worker.channel() as channel:
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        stub.RecognizeEntities(request(MANY[:1]), timeout=PATIENCE)
    assert not call.done()


def test_a_call_in_flight_is_answered_before_the_end(world: World, tmp_path: Path) -> None:
    with serving(tmp_path, *options(world)) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            call = start_call(channel)
            wait_for_computing(worker, call)
            worker.process.send_signal(signal.SIGTERM)
            assert len(call.result().results) == len(MANY)
        assert worker.wait() == 0
        assert worker.events("server.stopped")


def test_during_the_delay_it_is_not_ready_and_serves_on(world: World, tmp_path: Path) -> None:
    with serving(tmp_path, *options(world, "--drain-delay", "600")) as worker:
        worker.wait_until_ready()
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for_event("server.draining")
        worker.wait_for("not serving", lambda: worker.health() == "NOT_SERVING")
        assert worker.health("liveness") == "SERVING"
        with worker.channel() as channel:
            stub = entity_pb2_grpc.EntityServiceStub(channel)
            response = stub.RecognizeEntities(request(MANY[:2]), timeout=PATIENCE)
        assert len(response.results) == 2
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait() == 143


def test_ctrl_c_twice_ends_at_once(world: World, tmp_path: Path) -> None:
    with serving(tmp_path, *options(world, "--drain-delay", "600")) as worker:
        worker.wait_until_ready()
        worker.process.send_signal(signal.SIGINT)
        worker.wait_for_event("server.draining")
        worker.process.send_signal(signal.SIGINT)
        assert worker.wait() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_its_cache_ends_in_order(
    world: World, tmp_path: Path, number: signal.Signals
) -> None:
    """Never having been ready, it has nobody to wait for, whatever the drain delay."""
    empty = [
        *("--catalog", str(world.catalog_file), "--cache", str(tmp_path / "nothing"), "--no-fetch"),
        *("--drain-delay", "600"),
    ]
    with serving(tmp_path, *empty) as worker:
        worker.wait_for_event("cache.waiting")
        assert worker.stop(number) == 0


def test_a_call_beyond_the_grace_is_ended(world: World, tmp_path: Path) -> None:
    with serving(tmp_path, *options(world, "--shutdown-grace", "0")) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            call = start_call(channel)
            wait_for_computing(worker, call)
            worker.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError):
                call.result()
        assert worker.wait() == 0
