"""`--fetch` fills the cache with the real warmer from a hub over HTTP; a failure is reported or ends the program."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from qda.v1 import model_pb2, model_pb2_grpc
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.support.fake_hub import FakeHub, Repository


@pytest.fixture
def hub(cache_fixture: CacheFixture) -> Iterator[tuple[FakeHub, Repository]]:
    """Start a hub that has the sentiment model."""
    folder = cache_fixture.path("tiny-sentiment")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    repository = Repository("qda-test/sentiment", files)
    with FakeHub([repository], []) as fake_hub:
        yield fake_hub, repository


def write_catalog(file: Path, repository: Repository, name: str = "qda-test/sentiment") -> None:
    source = {"repository": name, "revision": repository.commit, "files": ["*"]}
    model = {"key": "fetched", "task": "sentiment", "huggingface": source}
    file.write_text(
        yaml.safe_dump({"apiVersion": "qda/v1", "kind": "Catalog", "models": [model]}), encoding="utf-8"
    )


def test_an_empty_cache_is_filled_and_its_models_are_loaded(
    hub: tuple[FakeHub, Repository], tmp_path: Path
) -> None:
    fake_hub, repository = hub
    write_catalog(tmp_path / "catalog.yaml", repository)
    arguments = ["--catalog", str(tmp_path / "catalog.yaml"), "--cache", str(tmp_path / "cache"), "--fetch"]
    with serving(tmp_path, *arguments, "--hub", fake_hub.url) as worker:
        worker.wait_for_event("model.loading")
        assert len(worker.events("cache.fetching")) == 1
    with serving(tmp_path, *arguments, "--hub", fake_hub.url) as again:
        again.wait_for_event("model.loading")
        assert not again.events("cache.fetching")


def test_with_a_hub_without_the_model_the_worker_reports_the_reason(
    hub: tuple[FakeHub, Repository], tmp_path: Path
) -> None:
    fake_hub, repository = hub
    write_catalog(tmp_path / "catalog.yaml", repository, "qda-test/nobody")
    arguments = ["--catalog", str(tmp_path / "catalog.yaml"), "--cache", str(tmp_path / "cache"), "--fetch"]
    with serving(tmp_path, *arguments, "--hub", fake_hub.url) as worker:
        assert worker.wait_for_event("cache.not_fetched")["reason"] == "HUB_NOT_FOUND"
        assert [worker.health(name) for name in ("liveness", "")] == ["SERVING", "NOT_SERVING"]
        with worker.channel() as channel:
            stub = model_pb2_grpc.ModelServiceStub(channel)
            status = stub.GetCacheStatus(model_pb2.GetCacheStatusRequest(), timeout=TIMEOUT)
        assert status.reason == "HUB_NOT_FOUND"


def test_on_a_host_a_failure_of_the_warmer_ends_the_program(
    hub: tuple[FakeHub, Repository], tmp_path: Path
) -> None:
    fake_hub, repository = hub
    write_catalog(tmp_path / "catalog.yaml", repository, "qda-test/nobody")
    arguments = ["--catalog", str(tmp_path / "catalog.yaml"), "--fetch", "--hub", fake_hub.url]
    with serving(tmp_path, *arguments, HOME=str(tmp_path / "home")) as worker:
        assert worker.wait() == 21
        assert "HUB_NOT_FOUND" in worker.log
        assert "Traceback" not in worker.log


@contextmanager
def fetching(repository: Repository, folder: Path) -> Iterator[tuple[ServeProcess, int]]:
    """Start a worker whose warmer retries an unreachable hub; yield it with the process id of the warmer."""
    write_catalog(folder / "catalog.yaml", repository)
    arguments = ["--catalog", str(folder / "catalog.yaml"), "--cache", str(folder / "cache"), "--fetch"]
    with serving(folder, *arguments, "--hub", "http://127.0.0.1:9") as worker:
        worker.wait_for_event("cache.fetching")
        worker.wait_for("warmer", lambda: bool(children(worker.process.pid)))
        (warmer,) = children(worker.process.pid)
        yield worker, warmer


def test_stopping_a_fetching_worker_stops_the_warmer(hub: tuple[FakeHub, Repository], tmp_path: Path) -> None:
    with fetching(hub[1], tmp_path) as (worker, warmer):
        assert worker.stop() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(warmer, 0)


def test_the_warmer_ends_when_its_worker_is_killed(hub: tuple[FakeHub, Repository], tmp_path: Path) -> None:
    with fetching(hub[1], tmp_path) as (worker, warmer):
        worker.process.kill()
        wait_until_ended(warmer)


def wait_until_ended(pid: int) -> None:
    """Wait until the process has ended, or is a zombie."""
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still running")


def children(pid: int) -> list[int]:
    """Return the child processes of a process, on Linux."""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
