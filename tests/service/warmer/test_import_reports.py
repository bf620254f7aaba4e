"""An import and a collection report like a warm: status file, Events, termination message."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from cache_warmer.cli import COMMANDS
from cache_warmer.commands.collect import run_collect
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.import_ import run_import
from cache_warmer.kubernetes.events import EventRecorder, InvolvedObjects
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError
from tests.service.warmer.archives import cache_of, export
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.test_archive import SOURCE
from tests.service.warmer.test_status import eventually
from tests.support.fake_cluster import FakeCluster

OWN: Final = InvolvedObjects("texts", "", "demo")


@pytest.fixture
def archive(workspace: Workspace, tmp_path: Path) -> Path:
    assert workspace.warm().reason == "OK"
    export(workspace, tmp_path / "generation.tar")
    return tmp_path / "generation.tar"


def status(cache: Path) -> dict[str, Any]:
    path = cache / ".model-cache/status.json"
    return dict(json.loads(path.read_bytes())) if path.exists() else {"phase": None, "bytes_done": 0}


def invocation(workspace: Workspace, command: str, cache: Path, *more: str) -> Invocation:
    parser = OptionParser(prog="cache-warmer")
    next(one for one in COMMANDS if one.name == command).add_to(parser)
    given = [*more, "--cache", str(cache), "--catalog", str(workspace.catalog), "--quiet"]
    return Invocation(parser.parse_args(given), workspace.environ, io.StringIO(), io.StringIO())


def recorder(cluster: FakeCluster) -> EventRecorder:
    return EventRecorder(OWN, lambda: cluster, lambda: datetime(2026, 1, 2, tzinfo=UTC))


@contextmanager
def halfway(workspace: Workspace, archive: Path, cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an import whose archive stops in the middle of the big file."""
    command = [sys.executable, "-m", "cache_warmer", "import", "-", "--cache", str(cache), "--quiet"]
    child = subprocess.Popen(
        [*command, "--catalog", str(workspace.catalog)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    content = archive.read_bytes()
    child.stdin.write(content[: len(content) * 6 // 10])
    child.stdin.flush()
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_the_status_file_follows_an_import_and_its_end(workspace: Workspace, archive: Path) -> None:
    other = cache_of(workspace, "other")
    with halfway(workspace, archive, other) as child:
        eventually(lambda: status(other)["phase"] == "importing" and status(other)["bytes_done"] > 1_000_000)
        found = status(other)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 143

    assert f"process {child.pid} on " in found["holder"]
    assert found["bytes_total"] > found["bytes_done"]
    assert found["generation"] == json.loads(next(workspace.cache.glob(".model-cache/manifests/*")).read_bytes())[
        "generation"
    ]  # fmt: skip
    assert "model.safetensors" in found["current"]
    assert (status(other)["phase"], status(other)["reason"]) == ("ended", "INTERRUPTED")


def test_start_and_end_are_events_and_the_termination_message(workspace: Workspace, archive: Path) -> None:
    other, cluster, termination_log = (
        cache_of(workspace, "other"),
        FakeCluster(),
        workspace.folder / "termination-log",
    )
    termination_log.touch()

    code = run_import(
        invocation(workspace, "import", other, str(archive)),
        recorder(cluster),
        termination_log=termination_log,
    )

    assert code == 0
    assert [event["reason"] for event in cluster.events] == ["IMPORTING", "OK"]
    assert "3 models, 3." in cluster.events[-1]["message"]
    assert " imported in " in cluster.events[-1]["message"]
    document = json.loads(termination_log.read_bytes())
    assert (document["reason"], document["bytes_fetched"]) == ("OK", 0)
    assert document["bytes_written"] > 3_000_000
    assert (status(other)["phase"], status(other)["reason"]) == ("ended", "OK")


def test_a_failure_is_reported_with_its_reason_and_remedy(workspace: Workspace, archive: Path) -> None:
    other, cluster, termination_log = (
        cache_of(workspace, "other"),
        FakeCluster(),
        workspace.folder / "termination-log",
    )
    termination_log.touch()
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])

    with pytest.raises(ModelCacheError, match="cut short"):
        run_import(
            invocation(workspace, "import", other, str(archive)),
            recorder(cluster),
            termination_log=termination_log,
        )

    assert [event["reason"] for event in cluster.events] == ["IMPORTING", "CONTENT_MISMATCH"]
    assert "Remedy: " in cluster.events[-1]["message"]
    document = json.loads(termination_log.read_bytes())
    assert document["reason"] == "CONTENT_MISMATCH"
    assert {model["reason"] for model in document["models"]} == {"CONTENT_MISMATCH"}
    assert status(other)["reason"] == "CONTENT_MISMATCH"


def test_a_collection_is_an_event_only_if_it_deleted_something(workspace: Workspace) -> None:
    assert workspace.warm().reason == "OK"
    leftover = next(workspace.cache.glob("huggingface/hub/models--org--first/blobs")) / "f.incomplete"
    leftover.write_bytes(bytes(1_000_000))
    os.utime(leftover, (0, 0))
    cluster = FakeCluster()

    run_collect(invocation(workspace, "collect", workspace.cache), events=recorder(cluster))
    assert cluster.events == []
    run_collect(invocation(workspace, "collect", workspace.cache, "--apply"), events=recorder(cluster))

    assert [event["reason"] for event in cluster.events] == ["COLLECTED"]
    assert "1.0 MB freed" in cluster.events[0]["message"]


def test_a_failed_collection_is_an_event(workspace: Workspace) -> None:
    assert workspace.warm().reason == "OK"
    next(workspace.cache.glob(".model-cache/manifests/*")).write_text("{")
    cluster = FakeCluster()

    with pytest.raises(ModelCacheError):
        run_collect(invocation(workspace, "collect", workspace.cache, "--apply"), events=recorder(cluster))

    assert [(event["type"], event["reason"]) for event in cluster.events] == [("Warning", "CACHE_CORRUPT")]
