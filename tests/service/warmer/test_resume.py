"""Staged bytes of a run that ended early, and how the next run uses them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.service.warmer.fixtures import BIG, Workspace
from tests.support.fake_hub import Fault, FaultKind

WEIGHTS: Final = "model.safetensors"


def start(workspace: Workspace, *more: str) -> subprocess.Popen[str]:
    """Start `warm` as a program of its own."""
    command = [sys.executable, "-m", "cache_warmer", *workspace.arguments("warm", *more)]
    source = str(Path(__file__).parents[3] / "src")
    environ = {**os.environ, "PYTHONPATH": source}
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_staged(workspace: Workspace, count: int, child: subprocess.Popen[str]) -> None:
    for _ in range(6000):
        for path in workspace.cache.rglob("*.incomplete"):
            with suppress(FileNotFoundError):  # a small file that was just renamed
                if path.stat().st_size >= count:
                    return
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    pytest.fail("the big file did not grow")


def stalled(workspace: Workspace, after: int) -> subprocess.Popen[str]:
    """Start a run, and return it when `after` bytes of the big file are staged and its connection is silent."""
    workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=after, times=1))
    child = start(workspace)
    wait_until_staged(workspace, after, child)
    return child


def test_after_sigkill_the_next_run_fetches_only_the_rest(workspace: Workspace) -> None:
    child = stalled(workspace, BIG * 9 // 10)
    child.kill()
    child.communicate()
    workspace.hub.faults.clear()
    workspace.hub.log.clear()

    assert workspace.plan().document["models"][0]["bytes_to_fetch"] <= BIG // 5
    outcome = workspace.warm()

    assert outcome.reason == "OK"
    assert workspace.hub.log.bytes_sent(f"*{WEIGHTS}") <= BIG * 15 // 100


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_silent_transfer_and_keeps_its_bytes(
    workspace: Workspace, number: signal.Signals, code: int
) -> None:
    child = stalled(workspace, 2_000_000)

    child.send_signal(number)
    out, err = child.communicate(timeout=30)  # far below the stall timeout of 60 s

    assert child.returncode == code
    assert '"reason": "INTERRUPTED"' in out
    assert "cache-warmer: INTERRUPTED: " in err
    assert "Traceback" not in err
    workspace.hub.faults.clear()
    workspace.hub.log.clear()
    assert workspace.warm().reason == "OK"
    assert workspace.hub.log.bytes_sent(f"*{WEIGHTS}") <= BIG - 2_000_000 + 200  # and the body of a redirect


def stage_prefix(workspace: Workspace, content: bytes) -> Path:
    """Write these bytes to the staging file, as if an earlier run had fetched them."""
    sha256 = workspace.repositories[0].files[WEIGHTS].sha256
    path = workspace.cache / f"huggingface/hub/models--org--first/blobs/{sha256}.incomplete"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def big_file(workspace: Workspace) -> bytes:
    return workspace.repositories[0].files[WEIGHTS].source.read_bytes()


def test_a_server_that_ignores_the_range_is_read_from_zero(workspace: Workspace) -> None:
    stage_prefix(workspace, big_file(workspace)[:1_000_000])
    workspace.hub.faults.add(Fault(FaultKind.IGNORE_RANGE, WEIGHTS, host="storage", times=1))

    outcome = workspace.warm("one")

    assert outcome.reason == "OK"
    assert outcome.document["bytes_fetched"] >= BIG
    assert not workspace.hub.faults.waiting()


def test_a_wrong_prefix_is_fetched_from_zero(workspace: Workspace) -> None:
    stage_prefix(workspace, bytes(1_000_000))

    assert workspace.warm("one").reason == "OK"

    ranges = [request.range for request in workspace.hub.log.requests(f"*{WEIGHTS}", host="storage")]
    assert ranges == ["bytes=1000000-", None]


def test_a_complete_staging_file_needs_no_request(workspace: Workspace) -> None:
    stage_prefix(workspace, big_file(workspace))

    assert workspace.warm("one").reason == "OK"

    assert not workspace.hub.log.requests(f"*{WEIGHTS}")


def test_a_staging_file_that_is_too_long_is_fetched_again(workspace: Workspace) -> None:
    stage_prefix(workspace, big_file(workspace) + b"more")

    assert workspace.warm("one").reason == "OK"


def test_a_link_in_place_of_a_staging_file_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    path = stage_prefix(workspace, b"")
    path.unlink()
    path.symlink_to(outside)

    assert workspace.warm("one").reason == "OK"

    assert outside.read_bytes() == b"precious"
