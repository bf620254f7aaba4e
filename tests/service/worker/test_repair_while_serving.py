"""A byte of a model flips on disk while a worker serves: the repair fetches that file, and no call fails."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import yaml

from qda.v1 import embedding_pb2, embedding_pb2_grpc, model_pb2, model_pb2_grpc
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.service.worker.test_metrics import scrape
from tests.support.fake_hub import FakeHub, Repository

SENTIMENT, EMBEDDING = "tiny-sentiment", "tiny-embedding"


@pytest.fixture
def hub(cache_fixture: CacheFixture) -> Iterator[FakeHub]:
    """Yield a hub that has two of the models."""
    with FakeHub([_repository(cache_fixture, key) for key in (SENTIMENT, EMBEDDING)], []) as fake_hub:
        yield fake_hub


def _repository(cache_fixture: CacheFixture, key: str) -> Repository:
    folder = cache_fixture.path(key)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return Repository(f"qda-test/{key.removeprefix('tiny-')}", files)


class Volume:
    """A cache that the real warmer fills from that hub."""

    def __init__(self, cache_fixture: CacheFixture, hub: FakeHub, folder: Path) -> None:
        self.hub, self.catalog, self.cache = hub, folder / "catalog.yaml", folder / "cache"
        models = []
        for key, task in ((SENTIMENT, "sentiment"), (EMBEDDING, "embedding")):
            repository = _repository(cache_fixture, key)
            source = {"repository": repository.id, "revision": repository.commit, "files": ["*"]}
            models.append({"key": key, "task": task, "huggingface": source})
        document = {"apiVersion": "qda/v1", "kind": "Catalog", "models": models}
        self.catalog.write_text(yaml.safe_dump(document), "utf-8")

    @property
    def options(self) -> list[str]:
        return ["--catalog", str(self.catalog), "--cache", str(self.cache)]

    def tend(self, command: str) -> str:
        """Run a command of the warmer and return its stdout."""
        program = [sys.executable, "-m", "cache_warmer", command, *self.options, "--hub", self.hub.url]
        return subprocess.run(program, capture_output=True, text=True, check=True).stdout

    def blobs(self) -> dict[Path, int]:
        """Return the inode of each blob."""
        return {path: path.stat().st_ino for path in self.cache.glob("huggingface/hub/*/blobs/*")}


@contextmanager
def asked_without_end(worker: ServeProcess) -> Iterator[list[object]]:
    """Request vectors repeatedly while the block runs; yield the answers."""
    answers: list[object] = []
    over = threading.Event()

    def ask(channel: grpc.Channel) -> None:
        request = embedding_pb2.EmbedRequest(model=EMBEDDING, texts=texts("gut"))
        while not over.is_set():
            try:
                answer = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed(request, timeout=TIMEOUT)
                answers.append(answer.results[0].SerializeToString(deterministic=True))
            except grpc.RpcError as error:
                answers.append(error)

    with worker.channel() as channel:
        thread = threading.Thread(target=ask, args=(channel,))
        thread.start()
        try:
            yield answers
        finally:
            over.set()
            thread.join(TIMEOUT)


def test_one_flipped_byte_is_one_fetched_file_and_one_needed_restart(
    cache_fixture: CacheFixture, hub: FakeHub, tmp_path: Path
) -> None:
    volume = Volume(cache_fixture, hub, tmp_path)
    volume.tend("warm")
    weights = next(volume.cache.glob("huggingface/hub/*sentiment/snapshots/*/model.safetensors")).resolve()
    more = ("--no-fetch", "--metrics-listen", "127.0.0.1:0")
    with serving(tmp_path, *volume.options, *more, QDA_CHECK_INTERVAL="0.2") as worker:
        worker.wait_until_ready()
        with asked_without_end(worker) as answers:
            worker.wait_for("an answer", lambda: bool(answers))
            flip_last_byte(weights)
            before = volume.blobs()
            hub.log.clear()

            said = volume.tend("repair")

            worker.wait_for("word of the restart", lambda: status_of(worker).restart_needed)
            count = len(answers)
            worker.wait_for("one more answer", lambda: len(answers) > count)
        samples = scrape(worker)
        told = {model.key: model.restart_needed for model in status_of(worker).models}
        health = worker.health()

    assert f"mended: {next(volume.cache.rglob('model.safetensors'))}" in said
    bodies = [request.path.rpartition("/")[2] for request in hub.log.requests("*/resolve/*", method="GET")]
    assert set(bodies) == {"model.safetensors"}
    after = volume.blobs()
    assert {path for path in before if before[path] != after[path]} == {weights}
    assert told == {SENTIMENT: True, EMBEDDING: False}
    assert [samples["qda_cache_restart_needed", key] for key in (SENTIMENT, EMBEDDING)] == [1, 0]
    assert health == "SERVING"
    assert all(answer == answers[0] for answer in answers), (
        "the other model answered all the while, and alike"
    )


def flip_last_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def status_of(worker: ServeProcess) -> model_pb2.GetCacheStatusResponse:
    with worker.channel() as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        return stub.GetCacheStatus(model_pb2.GetCacheStatusRequest(), timeout=TIMEOUT)
