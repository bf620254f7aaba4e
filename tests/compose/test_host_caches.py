"""compose.yaml with the user's global caches: from empty caches to results, and recovery after damage."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client import Client
from tests.compose.conftest import GID, UID, Figure, Hub
from tests.compose.engine import Engine, Project

FILES: Final = ("compose.yaml", "compose.catalog.yaml")
TARGET: Final = "127.0.0.1:50051"
READY_SECONDS: Final = 120.0


@pytest.fixture(scope="module")
def served(project: Project, hub: Hub, figure: Figure) -> Project:
    """Return the project after `up` from empty caches. The times are printed in the summary and not asserted."""
    hub.fake_hub.log.clear()
    figure("seconds from up to SERVING, empty caches", up_seconds(project))
    return project


def up_seconds(project: Project) -> float:
    began = time.perf_counter()
    project.up()
    with Client(TARGET) as client:
        client.wait_ready(READY_SECONDS)
    return round(time.perf_counter() - began, 1)


def test_the_four_tasks_are_answered(served: Project) -> None:
    with Client(TARGET) as client:
        sentiment = client.sentiment(["Das Team hat mir sehr geholfen.", "Die Pflege war eine Zumutung."])
        assert [answer.label for answer in sentiment] == ["positive", "negative"]
        assert len(client.models().models) == 4


def test_the_check_by_exec_finds_the_cache_complete(served: Project, engine: Engine) -> None:
    done = engine.exec("qda_worker", "python", "check_global_cache.py", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["reason"] == "OK"
    assert len(report["models"]) == 4


def test_the_health_check_of_the_service_passes(served: Project, engine: Engine) -> None:
    done = engine.exec("qda_worker", "qda-client", "health", "--timeout", "5s")
    assert (done.returncode, done.stdout.strip()) == (0, "SERVING")


def test_all_files_in_the_home_belong_to_its_user(served: Project, home: Path) -> None:
    paths = list(home.rglob("*"))
    assert any(path.name == "model.safetensors" for path in paths)
    strange = [path for path in paths if (path.lstat().st_uid, path.lstat().st_gid) != (UID, GID)]
    assert strange == []


def test_the_libraries_own_layout_is_on_the_host(served: Project, home: Path) -> None:
    """The output of the `ls` and `find` commands of the documentation."""
    hub_folder = home / ".cache/huggingface/hub"
    assert sorted(path.name for path in hub_folder.glob("models--*")) == [
        "models--qda-demo--german-sentiment-bert",
        "models--qda-demo--multilingual-embedding",
        "models--qda-demo--multilingual-paraphrase",
    ]
    assert (home / ".local/share/spacy/de_demo_news_sm").exists()
    assert not list(home.rglob("*.incomplete"))


def test_the_worker_cannot_write_to_the_caches_or_its_root(served: Project, engine: Engine) -> None:
    for path in ("/cache/huggingface/hub/x", "/cache/spacy/x", "/cache/.model-cache/x", "/app/x"):
        done = engine.exec("qda_worker", "touch", path)
        assert "Read-only file system" in done.stderr, path


def test_another_project_finds_the_models_without_a_network(served: Project) -> None:
    done = served.compose("--profile", "example", "run", "--rm", "--no-deps", "example")
    assert done.returncode == 0, done.stderr
    assert "'label': 'positive'" in done.stdout
    assert "'LOC'" in done.stdout


def test_a_killed_worker_serves_again_without_a_request_to_the_hub(
    served: Project, engine: Engine, hub: Hub, figure: Figure
) -> None:
    killed = served.compose("kill", "qda-worker")
    assert killed.returncode == 0, killed.stderr
    hub.fake_hub.log.clear()
    figure("seconds from up to SERVING, after a kill", up_seconds(served))
    assert not hub.fake_hub.log.requests()


def test_down_and_up_again_fetches_nothing(served: Project, hub: Hub, figure: Figure) -> None:
    served.down()
    hub.fake_hub.log.clear()
    figure("seconds from up to SERVING, full caches", up_seconds(served))
    assert not hub.fake_hub.log.requests()


def test_only_a_model_whose_folder_was_removed_is_fetched(
    served: Project, hub: Hub, home: Path, engine: Engine
) -> None:
    served.down()
    shutil.rmtree(home / ".cache/huggingface/hub/models--qda-demo--multilingual-paraphrase")
    hub.fake_hub.log.clear()
    up_seconds(served)
    fetched = {record.path for record in hub.fake_hub.log.requests() if record.bytes_sent}
    assert fetched
    assert all("multilingual-paraphrase" in path for path in fetched)
    assert engine.exec("qda_worker", "cache-check", "--deep").returncode == 0


def test_a_missing_folder_is_an_error_and_is_not_created(
    served: Project, tmp_path: Path, variables: dict[str, str]
) -> None:
    missing = tmp_path / "no-such-home" / ".cache" / "huggingface"
    elsewhere = Project(served.engine, FILES, variables | {"QDA_HOST_HUGGINGFACE": str(missing)})
    done = elsewhere.compose("run", "--rm", "cache-warmer")
    assert done.returncode != 0
    assert not os.path.lexists(missing.parent)
