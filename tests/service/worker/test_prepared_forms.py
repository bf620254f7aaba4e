"""A prepared form from the command that makes it to the worker that serves it, with the real programs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.catalog.parse import load_catalog
from model_cache.places import resolve_places
from qda.v1 import embedding_pb2, embedding_pb2_grpc
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.process import ServeProcess, serving
from tests.support.cache_trees import write_records, write_snapshot
from tests.support.precisions import AVAILABLE
from tests.support.tiny_models import COMMIT, write_embedding

CATALOG: Final = f"""
apiVersion: qda/v1
kind: Catalog
models:
  - key: tiny
    task: embedding
    huggingface:
      repository: qda-test/tiny
      revision: {COMMIT}
      files: ["*"]
    serving: {{precision: int8}}
"""


@dataclass(frozen=True)
class Cache:
    """A cache with one model, for which the catalog asks in int8."""

    folder: Path

    @property
    def options(self) -> list[str]:
        return ["--catalog", str(self.folder / "catalog.yaml"), "--cache", str(self.folder / "cache")]

    def run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", program, *arguments, *self.options]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT * 4)

    def prepare(self, out: Path) -> "subprocess.CompletedProcess[str]":
        options = ["--model", "tiny", "--precision", "int8", "--out", str(out), "--threads", "1"]
        return self.run("qda_worker", "prepare", *options, "--format", "json")

    def published(self) -> list[Path]:
        return sorted((self.folder / "cache/.model-cache/prepared/tiny").glob("*/*/*"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    (tmp_path / "model").mkdir()
    write_embedding(tmp_path / "model", max_seq_length=64, normalize=True, spread=0.1)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    (model,) = load_catalog(tmp_path / "catalog.yaml").models
    places = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    files = {
        path.relative_to(tmp_path / "model").as_posix(): path.read_bytes()
        for path in (tmp_path / "model").rglob("*")
        if path.is_file()
    }
    write_records(places, (model,), (write_snapshot(places, model, files),))
    return Cache(tmp_path)


@pytest.fixture
def worker(cache: Cache) -> Iterator[ServeProcess]:
    with serving(cache.folder, *cache.options, "--no-fetch", "--threads", "1") as process:
        yield process


def embed(worker: ServeProcess) -> Any:
    with worker.channel() as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        return stub.Embed(embedding_pb2.EmbedRequest(texts=texts("Das war gut.")), timeout=TIMEOUT)


def test_a_waiting_worker_serves_a_form_as_soon_as_it_is_published(
    cache: Cache, worker: ServeProcess, tmp_path: Path
) -> None:
    refused = worker.wait_for_event("model.unusable")
    assert "the catalog asks for int8" in refused["detail"]
    assert "qda-worker prepare --model tiny --precision int8" in refused["remedy"]
    assert "cache-warmer publish" in refused["remedy"]

    made = cache.prepare(tmp_path / "form")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert document["reason"] == "OK"
    assert set(document["figures"]) == {"torch-dynamic", "openvino-static"}
    assert worker.events("server.ready") == []

    published = cache.run("cache_warmer", "publish", str(tmp_path / "form"))
    assert published.returncode == 0, published.stderr
    worker.wait_until_ready()
    provenance = embed(worker).provenance
    assert provenance.precision == "int8"
    assert list(provenance.engines) in (["torch"], ["openvino"])


def test_a_damaged_form_is_not_served(cache: Cache, tmp_path: Path) -> None:
    assert cache.prepare(tmp_path / "form").returncode == 0
    assert cache.run("cache_warmer", "publish", str(tmp_path / "form")).returncode == 0
    damaged = next(path for path in cache.published() if path.name == "encoder.safetensors")
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    with serving(cache.folder, *cache.options, "--no-fetch", "--threads", "1") as process:
        refused = process.wait_for_event("model.unusable")
        assert "encoder.safetensors" in refused["detail"]
        assert process.events("server.ready") == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_leaves_nothing(
    cache: Cache, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "form"
    options = ["--model", "tiny", "--precision", "int8", "--out", str(out), *cache.options]
    with subprocess.Popen(
        [sys.executable, "-m", "qda_worker", "prepare", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "making torch-dynamic" in line:
                process.send_signal(number)
                break
        rest = process.stderr.read()
        assert process.wait(TIMEOUT) == code, rest
    assert "Traceback" not in rest
    assert not out.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit of the size of files")
def test_a_full_disk_is_told(cache: Cache, tmp_path: Path) -> None:
    """A limit of the size of files makes the same system call fail as a full disk."""
    out = tmp_path / "form"
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); "
        "from qda_worker.cli import main; sys.argv[0] = 'qda-worker'; main()"
    )
    options = ["prepare", "--model", "tiny", "--precision", AVAILABLE[0], "--out", str(out), *cache.options]
    done = subprocess.run(
        [sys.executable, "-c", program, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 30, done.stderr
    assert "NO_SPACE" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
