"""Imports that are killed or find the disk full: the cache keeps the generations it had."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.faults.fixtures import SOURCE, Workspace, result_of, wait_until
from tests.faults.independent_check import whole_generations
from tests.faults.volumes import fill, tmpfs

KILLS: Final = int(os.environ.get("FAULTS_KILLS", "50")) // 2
SEED: Final = int(os.environ.get("FAULTS_SEED", str(time.time_ns() % 100_000)))


@pytest.fixture
def archive(workspace: Workspace, tmp_path: Path) -> Path:
    """Return an archive of the wanted generation."""
    wanted, path = workspace.wanted(), tmp_path / "generation.tar"
    assert workspace.run(wanted).reason == "OK"
    program = [sys.executable, "-m", "cache_warmer", "export", "-o", str(path), "--catalog", str(wanted)]
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run(
        [*program, "--cache", str(workspace.cache), "--quiet"], env=environ, check=True, capture_output=True
    )
    return path


def importing(workspace: Workspace, archive: Path, cache: Path) -> subprocess.Popen[str]:
    """Start an import of an archive, which may be a named pipe."""
    command = [
        sys.executable,
        "-m",
        "cache_warmer",
        "import",
        str(archive),
        "--catalog",
        str(workspace.wanted()),
    ]
    child = subprocess.Popen(
        [*command, "--cache", str(cache), "--format", "json", "--quiet"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    workspace.children.append(child)
    return child


def test_after_random_kills_the_former_generation_is_complete(
    workspace: Workspace, archive: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Kill each import after another delay. The former generation of that cache stays complete."""
    random_delay = random.Random(SEED)
    workspace.cache = cache = tmp_path / "other"
    former = workspace.former()
    assert workspace.run(former).reason == "OK"
    before = whole_generations(cache)
    finished = 0
    for number in range(KILLS):
        child = importing(workspace, archive, cache)
        time.sleep(random_delay.uniform(0.05, 0.6))
        child.kill()
        child.communicate()
        now = whole_generations(cache)
        assert before <= now, f"kill {number} of seed {SEED}"
        assert workspace.is_whole(former), f"kill {number} of seed {SEED}"
        finished += now > before
    assert result_of(importing(workspace, archive, cache)).reason == "OK"
    assert workspace.is_whole(workspace.wanted())
    record_property("kills", KILLS)
    record_property("seed", SEED)
    record_property("finished before a kill", finished)


@pytest.mark.usefixtures("mounts")
def test_a_disk_that_is_too_small_is_reported_before_the_first_file(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "volume", megabytes=10) as mounted:
        small = result_of(importing(workspace, archive, mounted / "cache"))

        assert (small.reason, small.code) == ("NO_SPACE", 30), small.err
        assert "are needed" in small.err
        assert not list(mounted.rglob("blobs"))


@pytest.mark.usefixtures("mounts")
def test_a_disk_that_fills_up_is_reported_and_the_next_import_succeeds(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    """Send the archive slowly through a named pipe, and fill the disk meanwhile."""
    with tmpfs(tmp_path / "volume", megabytes=100) as mounted:
        cache, pipe = mounted / "cache", tmp_path / "pipe"
        os.mkfifo(pipe)
        child = importing(workspace, pipe, cache)
        content = archive.read_bytes()
        with pipe.open("wb", buffering=0) as stream:
            stream.write(content[: len(content) // 2])
            wait_until(lambda: bool(list(cache.rglob("*.import.incomplete"))), child)
            ballast = fill(mounted)
            with suppress(BrokenPipeError):
                stream.write(content[len(content) // 2 :])

        full = result_of(child)

        assert (full.reason, full.code) == ("NO_SPACE", 30), full.err
        assert str(mounted) in full.err
        assert whole_generations(cache) == frozenset()
        ballast.unlink()
        assert result_of(importing(workspace, archive, cache)).reason == "OK"
        workspace.cache = cache
        assert workspace.is_whole(workspace.wanted())
        assert not list(cache.rglob("*.incomplete"))
