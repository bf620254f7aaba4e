"""A worker that starts before its models exist reports that, and serves without a restart once they do."""

import json
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client import Client, NotReady
from tests.compose.engine import Engine, Project, call
from tests.compose.test_host_caches import READY_SECONDS, TARGET

FILES: Final = ("compose.yaml", "compose.catalog.yaml")
NOT_READY_SECONDS: Final = 10.0


def test_a_worker_on_empty_caches_names_what_is_missing_and_serves_later(
    project: Project, engine: Engine, home: Path
) -> None:
    started = project.compose("up", "--detach", "--no-deps", "qda-worker")
    assert started.returncode == 0, started.stderr
    with Client(TARGET) as client:
        with pytest.raises(NotReady):
            client.wait_ready(NOT_READY_SECONDS)
        said = engine.exec("qda_worker", "python", "check_global_cache.py", "--format", "json")
        assert (said.returncode, json.loads(said.stdout)["reason"]) == (10, "CACHE_INCOMPLETE")
        before = started_at(engine)
        warmed = project.compose("run", "--rm", "cache-warmer")
        assert warmed.returncode == 0, warmed.stdout + warmed.stderr
        client.wait_ready(READY_SECONDS)
    assert started_at(engine) == before


def started_at(engine: Engine) -> str:
    done = call(
        [*engine.engine, "inspect", "qda_worker", "--format", "{{.State.StartedAt}} {{.RestartCount}}"]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
