"""SIGTERM: not ready at once, serving on for the delay, calls in flight answered, exit 0. A second signal: at once."""

import signal
import time
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qda.v1 import entity_pb2, entity_pb2_grpc, text_pb2
from tests.service.worker.calls import PATIENCE
from tests.service.worker.fixtures import World
from tests.service.worker.process import ServeProcess, serving

MANY: Final = [
    text_pb2.Text(content=f"Frau Müller las Text {number} in Köln. " * 10) for number in range(2_000)
]


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


SLOW_LOAD: Final = """
import sys, time
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "qda_worker.models.loading":
            time.sleep(600)
sys.meta_path.insert(0, Slow())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_loads_does_not_wait_for_its_load(
    world: World, tmp_path: Path, number: signal.Signals
) -> None:
    """The load takes ten minutes here; the test's patience is shorter."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_LOAD)
    with serving(tmp_path, *options(world), PYTHONPATH=str(tmp_path)) as worker:
        worker.wait_for_event("model.loading")
        assert worker.stop(number) == 0
        assert worker.events("server.stopped")


def test_somebody_who_watches_the_health_does_not_hold_up_the_end(world: World, tmp_path: Path) -> None:
    with serving(tmp_path, *options(world, "--shutdown-grace", "600")) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            worker.process.send_signal(signal.SIGTERM)
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(grpc.RpcError, match="this worker is ending"):
                next(watch)
        assert worker.wait() == 0


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("how", ["idle", "computing", "loading"])
def test_no_child_outlives_a_worker_that_is_killed(world: World, tmp_path: Path, how: str) -> None:
    with serving(tmp_path, *options(world)) as worker:
        if how == "loading":
            worker.wait_for("child", lambda: bool(children_of(worker.process.pid)))
        else:
            worker.wait_until_ready()
        children = children_of(worker.process.pid)
        assert children
        with worker.channel() as channel:
            if how == "computing":
                call = start_call(channel)
                wait_for_computing(worker, call)
            worker.process.kill()
            worker.process.wait(PATIENCE)
        until = time.monotonic() + PATIENCE
        while any(map(alive, children)):
            assert time.monotonic() < until
            time.sleep(0.01)
