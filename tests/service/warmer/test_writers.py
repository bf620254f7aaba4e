"""The right to write: concurrent warmers, a lease that is held, a volume that cannot be written."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.lease.base import FileLease
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.test_resume import stalled, start
from tests.support.fake_hub import Fault, FaultKind


def test_two_warmers_at_once_fetch_once(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.SLOW, "model.safetensors", bytes_per_second=6_000_000))
    runs = [start(workspace, "--wait", "60s") for _ in range(2)]

    ended = [(run.communicate(timeout=60), run.returncode) for run in runs]

    assert [code for _, code in ended] == [0, 0], ended
    for repository in workspace.repositories:
        for path in ("config.json", "model.safetensors", "pytorch_model.bin"):
            assert len(workspace.hub.log.requests(f"/{repository.id}/resolve/*/{path}", method="GET")) <= 1


def test_the_error_of_a_held_lease_names_the_holder(workspace: Workspace) -> None:
    holder = stalled(workspace, 2_000_000)
    try:
        outcome = workspace.warm(wait=0.3)
    finally:
        holder.kill()
        holder.communicate()

    assert (outcome.reason, outcome.code) == ("LEASE_HELD", 40)
    assert f"process {holder.pid} on " in outcome.err


def test_a_holder_that_lost_its_lock_damages_nothing(workspace: Workspace) -> None:
    """Delete the lock file: the holder keeps its inode, another warmer locks a new file, and both may run."""
    holder = stalled(workspace, 2_000_000)
    (workspace.cache / ".model-cache/lock").unlink()
    workspace.hub.faults.clear()

    outcome = workspace.warm()
    holder.terminate()
    holder.communicate()

    assert outcome.reason == "OK"
    assert workspace.plan("--no-probe").document["bytes_to_fetch"] == 0
    assert workspace.warm().document["bytes_fetched"] == 0


def test_a_waiting_writer_gets_the_lease_when_it_is_released(tmp_path: Path) -> None:
    messages: list[str] = []
    entered = threading.Event()
    first = FileLease(tmp_path / "lock", 0.0, lambda: 0.0, lambda _: None, messages.append)

    def second() -> None:
        lease = FileLease(tmp_path / "lock", 1e9, lambda: 0.0, lambda _: release.set(), messages.append)
        with lease.held():
            entered.set()

    release = threading.Event()
    thread = threading.Thread(target=second)
    with first.held():
        thread.start()
        assert release.wait(10), "the second writer waits"
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert len(messages) == 1


def test_a_file_in_place_of_the_cache_is_one_error(workspace: Workspace) -> None:
    workspace.cache.write_text("not a folder")

    outcome = workspace.warm()

    assert (outcome.reason, outcome.code) == ("VOLUME_UNSUITABLE", 32)
    assert str(workspace.cache) in outcome.err
    assert workspace.cache.read_text() == "not a folder"
    assert workspace.hub.log.requests() == ()


def test_a_cache_below_a_missing_folder_is_one_error(workspace: Workspace) -> None:
    outcome = workspace.warm(cache=str(workspace.folder / "typo" / "cache"))

    assert (outcome.reason, outcome.code) == ("VOLUME_UNSUITABLE", 32)
    assert not (workspace.folder / "typo").exists()


AS_NOBODY: Final = """
import encodings.utf_8_sig, os, sys
from cache_warmer.cli import main  # before the change of user, who may not be able to read this installation
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.argv[0] = "cache-warmer"
main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_the_error_of_a_foreign_volume_has_owner_mode_and_remedy(workspace: Workspace) -> None:
    workspace.cache.mkdir(mode=0o755)
    program = [sys.executable, "-c", AS_NOBODY, *workspace.arguments("warm")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    ended = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 31, ended
    for part in (str(workspace.cache), "0:0", "0755", "uid 65534", "fsGroup"):
        assert part in ended.stderr
