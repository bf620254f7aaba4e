"""Liveness from the start, readiness with a complete cache and loaded models, and the reason while not ready."""

import json
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qda.v1 import model_pb2, model_pb2_grpc, sentiment_pb2, sentiment_pb2_grpc
from qda_worker.client import Client, Settings
from qda_worker.services import EMBEDDING, ENTITIES, MODELS, PARAPHRASE, SENTIMENT, SYNTAX
from tests.service.worker.calls import TIMEOUT, reason, refused_status, texts
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.support.faulty_pipeline import ENDLESS, FATAL, add_fault

OF_MODELS: Final = (SENTIMENT, ENTITIES, SYNTAX, EMBEDDING, PARAPHRASE)


@pytest.fixture
def own(cache_fixture: CacheFixture, tmp_path: Path) -> CacheFixture:
    """Copy the cache, so that a test may break it."""
    copy = CacheFixture(tmp_path / "cache_fixture")
    shutil.copytree(cache_fixture.folder, copy.folder)
    return copy


def options(cache_fixture: CacheFixture, *more: str) -> list[str]:
    return [
        "--catalog",
        str(cache_fixture.catalog_file),
        "--cache",
        str(cache_fixture.cache),
        "--no-fetch",
        *more,
    ]


def status_of(worker: ServeProcess) -> model_pb2.GetCacheStatusResponse:
    with worker.channel() as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        return stub.GetCacheStatus(model_pb2.GetCacheStatusRequest(), timeout=TIMEOUT)


def sentiment_refusal(worker: ServeProcess) -> Any:
    with worker.channel() as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        return refused_status(
            stub.AnalyzeSentiment, sentiment_pb2.AnalyzeSentimentRequest(texts=texts("gut"))
        )


@pytest.fixture
def weights(own: CacheFixture) -> Path:
    return own.path("tiny-sentiment") / "model.safetensors"


def test_a_worker_waits_for_its_cache_serves_it_and_writes_nothing(own: CacheFixture, tmp_path: Path) -> None:
    def modification_times() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in own.cache.rglob("*")}

    own.unpublish()
    with serving(tmp_path, *options(own)) as worker:
        waiting = worker.wait_for_event("cache.waiting")
        assert waiting["reason"] == "CACHE_INCOMPLETE"
        assert "cache-warmer warm" in waiting["remedy"]
        assert worker.health("liveness") == "SERVING"
        assert {worker.health(name) for name in ("", *OF_MODELS)} == {"NOT_SERVING"}
        assert worker.health(MODELS) == "SERVING"
        status = sentiment_refusal(worker)
        assert reason(status) == ("UNAVAILABLE", "NOT_READY")
        assert "CACHE_INCOMPLETE" in status.message
        own.publish()
        before = modification_times()
        worker.wait_until_ready()
        assert {worker.health(name) for name in ("", *OF_MODELS)} == {"SERVING"}
        assert status_of(worker).reason == "OK"
        assert worker.stop() == 0
    assert modification_times() == before


def test_a_missing_file_keeps_a_worker_not_ready_and_is_named(
    own: CacheFixture, weights: Path, tmp_path: Path
) -> None:
    weights.unlink()
    with serving(tmp_path, *options(own)) as worker:
        assert str(weights) in worker.wait_for_event("cache.waiting")["detail"]
        assert worker.health() == "NOT_SERVING"
        status = status_of(worker)
        assert (status.reason, status.generation) == (
            "CACHE_INCOMPLETE",
            worker.events("server.listening")[0]["generation"],
        )
        assert str(weights) in status.detail
        assert "cache-warmer warm" in status.remedy
        model = status.models[0]
        assert (model.key, model.reason, model.problem_count) == ("tiny-sentiment", "CACHE_INCOMPLETE", 1)
        assert model.problems[0].file == str(weights)
        assert model.state == model_pb2.MODEL_STATE_WAITING_FOR_CACHE


def test_a_model_that_does_not_load_is_reported_and_the_others_serve(
    own: CacheFixture, tmp_path: Path
) -> None:
    config = own.path("tiny-sentiment") / "config.json"
    config.write_text("{}" + " " * (config.stat().st_size - 2))
    own.publish()
    more = ("--model", "tiny-sentiment", "--model", "tiny-ner")
    with serving(tmp_path, *options(own, *more)) as worker:
        failed = worker.wait_for_event("model.unusable")
        assert (failed["model"], failed["reason"]) == ("tiny-sentiment", "MODEL_UNUSABLE")
        worker.wait_for("the other", lambda: len(worker.events("model.loaded")) == 1)
        assert [worker.health(name) for name in ("", SENTIMENT)] == ["NOT_SERVING"] * 2
        assert [worker.health(name) for name in ("liveness", ENTITIES)] == ["SERVING"] * 2
        status = status_of(worker)
        assert status.reason == "MODEL_UNUSABLE"
        assert status.models[0].state == model_pb2.MODEL_STATE_FAILED
        refused = sentiment_refusal(worker)
        assert reason(refused) == ("UNAVAILABLE", "NOT_READY")
        assert "MODEL_UNUSABLE" in refused.message


def test_with_an_invalid_catalog_the_server_runs_and_reports_the_reason(
    own: CacheFixture, tmp_path: Path
) -> None:
    own.catalog_file.write_text(own.catalog_file.read_text().replace("task: sentiment", "task: sentimnt"))
    with serving(tmp_path, *options(own)) as worker:
        assert 'did you mean "sentiment"' in worker.wait_for_event("catalog.invalid")["detail"]
        assert [worker.health(name) for name in ("liveness", "")] == ["SERVING", "NOT_SERVING"]
        assert status_of(worker).reason == "CATALOG_INVALID"
        assert reason(sentiment_refusal(worker)) == ("UNAVAILABLE", "NOT_READY")
        assert worker.stop() == 0


def test_a_cache_that_the_lock_refutes_keeps_a_worker_not_ready(
    own: CacheFixture, weights: Path, tmp_path: Path
) -> None:
    source = own.catalog.model("tiny-sentiment").source
    facts = {"bytes": None, "sha256": "9" * 64, "git_sha1": None}
    entry = {"source": source.repository, "revision": source.revision, "files": {weights.name: facts}}  # type: ignore[union-attr]  # of a hub
    lock = {"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"tiny-sentiment": entry}}
    own.catalog_file.with_suffix(".lock.json").write_text(json.dumps(lock))
    with serving(tmp_path, *options(own)) as worker:
        assert "where the lock has 9999" in worker.wait_for_event("cache.waiting")["detail"]
        assert worker.health() == "NOT_SERVING"
        assert status_of(worker).reason == "CACHE_CORRUPT"


def test_with_an_invalid_lock_the_server_runs_and_reports_the_reason(
    own: CacheFixture, tmp_path: Path
) -> None:
    own.catalog_file.with_suffix(".lock.json").write_text("{")
    with serving(tmp_path, *options(own)) as worker:
        assert "not valid JSON" in worker.wait_for_event("catalog.invalid")["detail"]
        assert [worker.health(name) for name in ("liveness", "")] == ["SERVING", "NOT_SERVING"]
        assert status_of(worker).reason == "CATALOG_INVALID"


def test_a_worker_of_one_model_is_ready_and_refuses_other_tasks(own: CacheFixture, tmp_path: Path) -> None:
    shutil.rmtree(own.path("tiny-embedding"))
    own.unpublish()
    with serving(tmp_path, *options(own, "--model", "tiny-ner")) as worker:
        worker.wait_until_ready()
        assert [worker.health(name) for name in ("", ENTITIES)] == ["SERVING"] * 2
        assert worker.health(SENTIMENT) == "NOT_SERVING"
        status = sentiment_refusal(worker)
        assert reason(status) == ("FAILED_PRECONDITION", "TASK_NOT_SERVED")


def test_with_readiness_complete_a_damaged_cache_makes_it_not_ready(
    own: CacheFixture, tmp_path: Path
) -> None:
    more = ("--model", "tiny-ner", "--readiness", "complete")
    with serving(tmp_path, *options(own, *more), QDA_CHECK_INTERVAL="0.2") as worker:
        worker.wait_until_ready()
        (own.path("tiny-ner") / "meta.json").unlink()
        worker.wait_for_event("cache.damaged")
        worker.wait_for_event("server.not_ready")
        assert worker.health() == "NOT_SERVING"
        assert worker.health(ENTITIES) == "SERVING"
        assert status_of(worker).reason == "CACHE_INCOMPLETE"


def test_a_replaced_file_is_reported_as_restart_needed(own: CacheFixture, tmp_path: Path) -> None:
    more = ("--model", "tiny-ner")
    file = own.path("tiny-ner") / "meta.json"
    with serving(tmp_path, *options(own, *more), QDA_CHECK_INTERVAL="0.2") as worker:
        worker.wait_until_ready()
        assert not status_of(worker).restart_needed
        copy = tmp_path / "copy"
        shutil.copy(file, copy)
        copy.replace(file)
        worker.wait_for("restart needed", lambda: status_of(worker).restart_needed)
        assert worker.health() == "SERVING"


def test_a_process_that_is_killed_costs_no_answer_and_no_readiness(own: CacheFixture, tmp_path: Path) -> None:
    with serving(tmp_path, *options(own, "--model", "tiny-ner")) as worker:
        worker.wait_until_ready()
        with Client(Settings(worker.address, timeout=TIMEOUT)) as client:
            for _ in range(3):
                os.kill(child_of(worker.process.pid), signal.SIGKILL)
                answers = client.entities([f"Merkel in Köln, {number}" for number in range(200)])
                assert all(answer.ok and len(answer.entities) == 2 for answer in answers)
                assert worker.health(ENTITIES) == worker.health() == "SERVING"
        assert not worker.events("server.not_ready")


def test_a_process_that_hangs_is_replaced(own: CacheFixture, tmp_path: Path) -> None:
    arguments = options(own, "--model", "tiny-ner", "--hang-timeout", "1s")
    with serving(tmp_path, *arguments) as worker:
        worker.wait_until_ready()
        os.kill(child_of(worker.process.pid), signal.SIGSTOP)
        with Client(Settings(worker.address, timeout=TIMEOUT)) as client:
            assert [answer.ok for answer in client.entities(["Merkel", "Köln"])] == [True] * 2
        assert worker.health() == worker.health("liveness") == "SERVING"


def test_texts_that_end_or_block_the_process_fail_alone(own: CacheFixture, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    add_fault(own.path("tiny-ner"), plugin)
    own.publish()
    arguments = options(own, "--model", "tiny-ner", "--hang-timeout", "1s")
    with serving(tmp_path, *arguments, PYTHONPATH=str(plugin)) as worker:
        worker.wait_until_ready()
        contents = [f"Merkel {number}" for number in range(40)]
        contents[7], contents[23] = f"Merkel {FATAL}", f"Merkel {ENDLESS}"
        with Client(Settings(worker.address, timeout=TIMEOUT)) as client:
            answers = client.entities(contents)
        assert [number for number, answer in enumerate(answers) if not answer.ok] == [7, 23]
        messages = [str(answers[number].error) for number in (7, 23)]
        assert all("MODEL_FAILED: the process of the model ended 2 times" in message for message in messages)
        assert "ended with status 7" in messages[0]
        assert "had not answered for" in messages[1]
        assert worker.health(ENTITIES) == worker.health() == worker.health("liveness") == "SERVING"
        assert not worker.events("server.not_ready")


def test_a_process_that_hangs_does_not_hold_up_the_end(own: CacheFixture, tmp_path: Path) -> None:
    arguments = options(own, "--model", "tiny-ner", "--shutdown-grace", "0.5s")
    with serving(tmp_path, *arguments) as worker:
        worker.wait_until_ready()
        child = child_of(worker.process.pid)
        os.kill(child, signal.SIGSTOP)
        with Client(Settings(worker.address, timeout=TIMEOUT)) as client, ThreadPoolExecutor(1) as pool:
            # More than a pipe holds, so that the request is not even written.
            asked = pool.submit(client.entities, ["Merkel in Köln. " * 10_000])
            with pytest.raises(TimeoutError):
                asked.result(1.0)
            assert worker.stop() == 0
            assert not os.path.exists(f"/proc/{child}")
            client.close()


def child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    assert found, children
    return found[0]


@pytest.fixture
def host(own: CacheFixture, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `--cache host` is the cache of the test."""
    places = own.places
    home = tmp_path / "host"
    (home / ".local/share").mkdir(parents=True)
    (home / ".cache/huggingface").mkdir(parents=True)
    (home / ".cache/huggingface/hub").symlink_to(places.hub.path)
    (home / ".local/share/spacy").symlink_to(places.spacy.path)
    (home / ".cache/qda-worker").symlink_to(places.own.path)
    return {"HOME": str(home)}


def test_on_a_host_a_worker_serves_from_the_global_caches(
    own: CacheFixture, host: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["--catalog", str(own.catalog_file), "--no-fetch", "--model", "tiny-ner"]
    with serving(tmp_path, *arguments, **host) as worker:
        worker.wait_until_ready()
        assert status_of(worker).cache == "host"


def test_on_a_host_an_unusable_cache_or_catalog_ends_the_program(
    own: CacheFixture, weights: Path, host: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["--catalog", str(own.catalog_file), "--no-fetch", "--model", "tiny-sentiment"]
    weights.write_bytes(b"short")
    with serving(tmp_path, *arguments, **host) as worker:
        assert worker.wait() == 11
        assert "CACHE_CORRUPT" in worker.log
    weights.unlink()
    with serving(tmp_path, *arguments, **host) as worker:
        assert worker.wait() == 10
        assert "Remedy: " in worker.log
    own.catalog_file.write_text("models: 3")
    with serving(tmp_path, *arguments, **host) as worker:
        assert worker.wait() == 3
        assert "CATALOG_INVALID" in worker.log


def test_on_a_host_a_model_that_does_not_load_ends_the_program(
    own: CacheFixture, host: dict[str, str], tmp_path: Path
) -> None:
    config = own.path("tiny-ner") / "config.cfg"
    config.write_text("#" * config.stat().st_size)
    own.publish()
    arguments = ["--catalog", str(own.catalog_file), "--no-fetch", "--model", "tiny-ner"]
    with serving(tmp_path, *arguments, **host) as worker:
        assert worker.wait() == 12
        assert "MODEL_UNUSABLE" in worker.log


def test_a_port_in_use_is_a_usage_error(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--listen", "--health-listen", "--metrics-listen"):
            with serving(tmp_path, *options(cache_fixture), option, f"127.0.0.1:{port}") as worker:
                assert worker.wait() == 2
                assert f"USAGE: {option} 127.0.0.1:{port}" in worker.log
                assert "Traceback" not in worker.log


def test_the_health_port_serves_health_only(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    more = ("--model", "tiny-ner", "--health-listen", "127.0.0.1:0")
    with serving(tmp_path, *options(cache_fixture, *more)) as worker:
        worker.wait_until_ready()
        address = worker.wait_for_event("health.listening")["address"]
        assert [worker.health(name, address) for name in ("", "liveness", ENTITIES)] == ["SERVING"] * 3
        with grpc.insecure_channel(address) as channel:
            stub = model_pb2_grpc.ModelServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.ListModels(model_pb2.ListModelsRequest(), timeout=TIMEOUT)
            health = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.RpcError) as too_large:
                health.Check(health_pb2.HealthCheckRequest(service="x" * 2**13), timeout=TIMEOUT)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        error = too_large.value
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert worker.health("", address) == "SERVING"
