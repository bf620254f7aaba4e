"""One writer for each file, whatever locks do, and no work after the right to do it: several warmers as programs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import Workspace
from tests.support.fake_hub import Fault, FaultKind

WEIGHTS: Final = "model.safetensors"
NO_LOCKS: Final = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
LYING_LOCKS: Final = """
import fcntl
fcntl.flock = lambda *_: None
"""
# Each step on the disk takes long enough that a signal arrives in it.
SLOW_DISK: Final = """
import os, time
def slow(call):
    def run(*args, **options):
        time.sleep(0.04)
        return call(*args, **options)
    return run
os.fsync, os.replace, os.symlink = slow(os.fsync), slow(os.replace), slow(os.symlink)
"""
# One sync of a file of the package takes longer than the pool waits for its threads.
SLOW_UNPACKING: Final = """
import os, time
real = os.fsync
def fsync(descriptor):
    if ".tree." in os.readlink(f"/proc/self/fd/{descriptor}"):
        time.sleep(1.5)
    real(descriptor)
os.fsync = fsync
"""
# Another run, to which this one seems to be dead, takes the wheel or the tree that is being unpacked.
TAKEN_WHILE_UNPACKING: Final = """
import os, pathlib, shutil
real = {call}
def run(path, *args, **options):
    name = os.readlink(f"/proc/self/fd/{{path}}") if isinstance(path, int) else str(path)
    if ".tree." in name:
        staging = pathlib.Path(name[: name.index(".staging")]) / ".staging"
        for taken in staging.glob("{pattern}"):
            taken.rename(staging / "elsewhere")
    return real(path, *args, **options)
{call} = run
"""


def start(workspace: Workspace, before: str = "", *more: str) -> subprocess.Popen[str]:
    """Start `warm` as a program, after these statements."""
    program = (
        f"{before}\nfrom cache_warmer.cli import main\nimport sys\nsys.argv[0] = 'cache-warmer'\nmain()\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    command = [sys.executable, "-c", program, *workspace.arguments("warm", *more)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a program; return its exit code and its messages."""
    _, err = child.communicate(timeout=60)
    return child.returncode, err


def deep_check(workspace: Workspace) -> Reason:
    places = resolve_places(str(workspace.cache), {}, Path("/nowhere"))
    return check(load_catalog(workspace.catalog).models, places, Tier.DEEP).reason


def wait_for_bytes(workspace: Workspace, count: int, child: subprocess.Popen[str]) -> None:
    for _ in range(3000):
        if workspace.hub.log.bytes_sent(f"*{WEIGHTS}") >= count:
            return
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    pytest.fail("the big file was not sent")


def snapshot(workspace: Workspace) -> set[str]:
    return {str(path) for path in workspace.cache.rglob("*")}


def test_two_warmers_with_locks_that_exclude_nobody_do_no_harm(workspace: Workspace) -> None:
    """Each may take a file of the other, which seems to be dead; the loser says so, and the next run ends it."""
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=3_000_000))
    runs = [start(workspace, LYING_LOCKS), start(workspace, LYING_LOCKS)]

    ended = [finish(run) for run in runs]

    assert {code for code, _ in ended} <= {0, 41}, ended
    assert finish(start(workspace, LYING_LOCKS))[0] == 0
    assert deep_check(workspace) is Reason.OK


def test_two_warmers_without_locks_both_succeed(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=3_000_000))
    runs = [start(workspace, NO_LOCKS), start(workspace, NO_LOCKS)]

    assert [finish(run)[0] for run in runs] == [0, 0]
    assert deep_check(workspace) is Reason.OK


@pytest.mark.parametrize("locks", ["", NO_LOCKS, LYING_LOCKS], ids=["locks", "no locks", "lying locks"])
def test_a_frozen_warmer_that_wakes_up_does_no_harm(workspace: Workspace, locks: str) -> None:
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=3_000_000))
    frozen = start(workspace, locks)
    wait_for_bytes(workspace, 1_500_000, frozen)
    frozen.send_signal(signal.SIGSTOP)
    try:
        (workspace.cache / ".model-cache/lock").unlink()
        workspace.hub.faults.clear()
        assert finish(start(workspace, locks))[0] == 0
        assert deep_check(workspace) is Reason.OK
        blob = (
            workspace.cache
            / "huggingface/hub/models--org--first/blobs"
            / workspace.repositories[0].files[WEIGHTS].sha256
        )
        published = blob.read_bytes()
    finally:
        frozen.send_signal(signal.SIGCONT)
    frozen.communicate(timeout=60)

    assert frozen.returncode in (0, 41)
    assert blob.read_bytes() == published
    assert deep_check(workspace) is Reason.OK


@pytest.mark.parametrize("locks", ["", NO_LOCKS, LYING_LOCKS], ids=["locks", "no locks", "lying locks"])
def test_what_a_killed_warmer_staged_is_not_fetched_again(workspace: Workspace, locks: str) -> None:
    workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=2_500_000, times=1))
    killed = start(workspace, locks)
    wait_for_bytes(workspace, 2_500_000, killed)
    time.sleep(0.5)  # what was sent is written
    killed.kill()
    killed.communicate()
    workspace.hub.faults.clear()
    workspace.hub.log.clear()

    assert finish(start(workspace, locks))[0] == 0

    assert workspace.hub.log.bytes_sent(f"*{WEIGHTS}") <= 600_000
    assert deep_check(workspace) is Reason.OK


def test_after_sigterm_in_a_slow_unpacking_nothing_is_published(workspace: Workspace) -> None:
    stopped = start(workspace, SLOW_UNPACKING)
    for _ in range(3000):
        if list(workspace.cache.rglob("*.tree.*/de_tiny/*")):
            break
        assert stopped.poll() is None, stopped.communicate()
        time.sleep(0.01)
    stopped.terminate()
    following = start(workspace)

    code, err = finish(following)
    assert code == 0, err
    there = snapshot(workspace)
    stopped.communicate(timeout=60)

    assert stopped.returncode == 143
    assert there <= snapshot(workspace)
    assert deep_check(workspace) is Reason.OK
    assert workspace.warm().document["bytes_fetched"] == 0


@pytest.mark.parametrize(("call", "pattern"), [("os.mkdir", "*.whl.*"), ("os.fsync", "*.tree.*")])
def test_a_run_whose_wheel_or_tree_is_taken_says_so(workspace: Workspace, call: str, pattern: str) -> None:
    code, err = finish(start(workspace, TAKEN_WHILE_UNPACKING.format(call=call, pattern=pattern)))
    assert code == 41, err

    assert finish(start(workspace))[0] == 0
    assert deep_check(workspace) is Reason.OK


@pytest.mark.parametrize("instant", [0.3, 0.6, 0.9, 1.2, 1.6, 2.0, 2.5])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_starts_while_another_is_ended_succeeds(
    workspace: Workspace, instant: float, number: signal.Signals
) -> None:
    """End a run on a slow disk at some instant, wherever it is then, and start the next one at once."""
    ended = start(workspace, SLOW_DISK)
    time.sleep(instant)
    ended.send_signal(number)
    following = start(workspace)

    code, err = finish(following)
    ended_code, log = finish(ended)

    assert code == 0, err
    assert ended_code in (0, 143, -number), log
    assert deep_check(workspace) is Reason.OK
