"""An import tells the same as a warm: its status while it goes on, how it ended, Events, the container's last words."""

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
from cache_warmer.commands.collect import collect_command
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.import_ import import_command
from cache_warmer.kubernetes.events import EventRecorder, InvolvedObjects
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError
from tests.service.warmer.archives import cache_of, export
from tests.service.warmer.fixtures import World
from tests.service.warmer.test_archive import SOURCE
from tests.service.warmer.test_status import eventually
from tests.unit.cache_warmer.kubernetes.test_events import FakeCluster

OWN: Final = InvolvedObjects("texts", "", "demo")


@pytest.fixture
def archive(world: World, tmp_path: Path) -> Path:
    assert world.warm().reason == "OK"
    export(world, tmp_path / "generation.tar")
    return tmp_path / "generation.tar"


def status(cache: Path) -> dict[str, Any]:
    path = cache / ".model-cache/status.json"
    return dict(json.loads(path.read_bytes())) if path.exists() else {"phase": None, "bytes_done": 0}


def called(world: World, command: str, cache: Path, *more: str) -> Invocation:
    parser = OptionParser(prog="cache-warmer")
    next(one for one in COMMANDS if one.name == command).add_to(parser)
    given = [*more, "--cache", str(cache), "--catalog", str(world.catalog), "--quiet"]
    return Invocation(parser.parse_args(given), world.environ, io.StringIO(), io.StringIO())


def announcing(cluster: FakeCluster) -> EventRecorder:
    return EventRecorder(OWN, lambda: cluster, lambda: datetime(2026, 1, 2, tzinfo=UTC))


@contextmanager
def halfway(world: World, archive: Path, cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An import whose archive stops in the middle of the big file."""
    command = [sys.executable, "-m", "cache_warmer", "import", "-", "--cache", str(cache), "--quiet"]
    child = subprocess.Popen(
        [*command, "--catalog", str(world.catalog)],
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


def test_an_import_that_goes_on_is_seen_and_a_stopped_one_says_so(world: World, archive: Path) -> None:
    other = cache_of(world, "other")
    with halfway(world, archive, other) as child:
        eventually(lambda: status(other)["phase"] == "importing" and status(other)["bytes_done"] > 1_000_000)
        found = status(other)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 143

    assert f"process {child.pid} on " in found["holder"]
    assert found["bytes_total"] > found["bytes_done"]
    assert found["generation"] == json.loads(next(world.cache.glob(".model-cache/manifests/*")).read_bytes())[
        "generation"
    ]  # fmt: skip
    assert "model.safetensors" in found["current"]
    assert (status(other)["phase"], status(other)["reason"]) == ("ended", "INTERRUPTED")


def test_start_and_end_are_told_the_cluster_and_the_container(world: World, archive: Path) -> None:
    other, cluster, last_words = cache_of(world, "other"), FakeCluster(), world.folder / "last-words"
    last_words.touch()

    code = import_command(
        called(world, "import", other, str(archive)), announcing(cluster), last_words=last_words
    )

    assert code == 0
    assert [event["reason"] for event in cluster.events] == ["IMPORTING", "OK"]
    assert "3 models, 3." in cluster.events[-1]["message"]
    assert " imported in " in cluster.events[-1]["message"]
    document = json.loads(last_words.read_bytes())
    assert (document["reason"], document["bytes_fetched"]) == ("OK", 0)
    assert document["bytes_written"] > 3_000_000
    assert (status(other)["phase"], status(other)["reason"]) == ("ended", "OK")


def test_a_failure_is_told_with_its_reason_and_its_remedy(world: World, archive: Path) -> None:
    other, cluster, last_words = cache_of(world, "other"), FakeCluster(), world.folder / "last-words"
    last_words.touch()
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])

    with pytest.raises(ModelCacheError, match="cut short"):
        import_command(
            called(world, "import", other, str(archive)), announcing(cluster), last_words=last_words
        )

    assert [event["reason"] for event in cluster.events] == ["IMPORTING", "CONTENT_MISMATCH"]
    assert "Remedy: " in cluster.events[-1]["message"]
    document = json.loads(last_words.read_bytes())
    assert document["reason"] == "CONTENT_MISMATCH"
    assert {model["reason"] for model in document["models"]} == {"CONTENT_MISMATCH"}
    assert status(other)["reason"] == "CONTENT_MISMATCH"


def test_what_a_collection_deleted_is_told_and_what_it_only_shows_is_not(world: World) -> None:
    assert world.warm().reason == "OK"
    leftover = next(world.cache.glob("huggingface/hub/models--org--first/blobs")) / "f.incomplete"
    leftover.write_bytes(bytes(1_000_000))
    os.utime(leftover, (0, 0))
    cluster = FakeCluster()

    collect_command(called(world, "collect", world.cache), announcer=announcing(cluster))
    assert cluster.events == []
    collect_command(called(world, "collect", world.cache, "--apply"), announcer=announcing(cluster))

    assert [event["reason"] for event in cluster.events] == ["COLLECTED"]
    assert "1.0 MB freed" in cluster.events[0]["message"]


def test_a_collection_that_fails_is_told(world: World) -> None:
    assert world.warm().reason == "OK"
    next(world.cache.glob(".model-cache/manifests/*")).write_text("{")
    cluster = FakeCluster()

    with pytest.raises(ModelCacheError):
        collect_command(called(world, "collect", world.cache, "--apply"), announcer=announcing(cluster))

    assert [(event["type"], event["reason"]) for event in cluster.events] == [("Warning", "CACHE_CORRUPT")]
