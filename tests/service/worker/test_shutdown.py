"""Shutdown: a signal makes the worker not ready, and calls in flight are answered; a second signal ends it at once."""

import signal
import time
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qda.v1 import entity_pb2, entity_pb2_grpc, text_pb2
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving

MANY: Final = [
    text_pb2.Text(content=f"Frau Müller las Text {number} in Köln. " * 10) for number in range(2_000)
]


def options(cache_fixture: CacheFixture, *more: str) -> list[str]:
    return [
        *("--catalog", str(cache_fixture.catalog_file), "--cache", str(cache_fixture.cache), "--no-fetch"),
        *("--model", "tiny-ner", *more),
    ]


def request(texts: list[text_pb2.Text]) -> entity_pb2.RecognizeEntitiesRequest:
    encoding = text_pb2.OFFSET_ENCODING_CODE_POINTS
    return entity_pb2.RecognizeEntitiesRequest(texts=texts, offset_encoding=encoding)


def start_call(channel: grpc.Channel) -> Any:
    stub = entity_pb2_grpc.EntityServiceStub(channel)
    return stub.RecognizeEntities.future(request(MANY), timeout=TIMEOUT)


def wait_until_accepted(worker: ServeProcess, call: Any) -> None:
    """Wait until the worker has accepted a call: a second call is answered only after that."""
    with worker.channel() as channel:
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        stub.RecognizeEntities(request(MANY[:1]), timeout=TIMEOUT)
    assert not call.done()


def test_a_call_in_flight_is_answered_before_the_end(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    with serving(tmp_path, *options(cache_fixture)) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            call = start_call(channel)
            wait_until_accepted(worker, call)
            worker.process.send_signal(signal.SIGTERM)
            assert len(call.result().results) == len(MANY)
        assert worker.wait() == 0
        assert worker.events("server.stopped")


def test_during_the_drain_delay_it_is_not_ready_and_keeps_serving(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    with serving(tmp_path, *options(cache_fixture, "--drain-delay", "600")) as worker:
        worker.wait_until_ready()
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_for_event("server.draining")
        worker.wait_for("not serving", lambda: worker.health() == "NOT_SERVING")
        assert worker.health("liveness") == "SERVING"
        with worker.channel() as channel:
            stub = entity_pb2_grpc.EntityServiceStub(channel)
            response = stub.RecognizeEntities(request(MANY[:2]), timeout=TIMEOUT)
        assert len(response.results) == 2
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait() == 143


def test_ctrl_c_twice_ends_at_once(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    with serving(tmp_path, *options(cache_fixture, "--drain-delay", "600")) as worker:
        worker.wait_until_ready()
        worker.process.send_signal(signal.SIGINT)
        worker.wait_for_event("server.draining")
        worker.process.send_signal(signal.SIGINT)
        assert worker.wait() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_its_cache_stops_with_exit_code_0(
    cache_fixture: CacheFixture, tmp_path: Path, number: signal.Signals
) -> None:
    """It was never ready, so no load balancer has to notice the end, and the drain delay is skipped."""
    empty = [
        *("--catalog", str(cache_fixture.catalog_file), "--cache", str(tmp_path / "nothing"), "--no-fetch"),
        *("--drain-delay", "600"),
    ]
    with serving(tmp_path, *empty) as worker:
        worker.wait_for_event("cache.waiting")
        assert worker.stop(number) == 0


def test_a_call_in_flight_after_the_grace_is_cancelled(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    with serving(tmp_path, *options(cache_fixture, "--shutdown-grace", "0")) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            call = start_call(channel)
            wait_until_accepted(worker, call)
            worker.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError):
                call.result()
        assert worker.wait() == 0


SLOW_LOAD: Final = """
import sys, time
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "qda_worker.models.loading":
            time.sleep(600)
sys.meta_path.insert(0, Slow())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_does_not_wait_for_a_model_that_is_being_loaded(
    cache_fixture: CacheFixture, tmp_path: Path, number: signal.Signals
) -> None:
    """The load takes ten minutes here; the timeout of the test is shorter."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_LOAD)
    with serving(tmp_path, *options(cache_fixture), PYTHONPATH=str(tmp_path)) as worker:
        worker.wait_for_event("model.loading")
        assert worker.stop(number) == 0
        assert worker.events("server.stopped")


def test_a_health_watcher_does_not_delay_the_shutdown(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    with serving(tmp_path, *options(cache_fixture, "--shutdown-grace", "600")) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            worker.process.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(grpc.RpcError, match="this worker is shutting down"):
                next(watch)
        assert worker.wait() == 0


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1][0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("phase", ["idle", "computing", "loading"])
def test_no_child_process_outlives_a_killed_worker(
    cache_fixture: CacheFixture, tmp_path: Path, phase: str
) -> None:
    with serving(tmp_path, *options(cache_fixture)) as worker:
        if phase == "loading":
            worker.wait_for("child", lambda: bool(children_of(worker.process.pid)))
        else:
            worker.wait_until_ready()
        children = children_of(worker.process.pid)
        assert children
        with worker.channel() as channel:
            if phase == "computing":
                call = start_call(channel)
                wait_until_accepted(worker, call)
            worker.process.kill()
            worker.process.wait(TIMEOUT)
        until = time.monotonic() + TIMEOUT
        while any(map(alive, children)):
            assert time.monotonic() < until
            time.sleep(0.01)
