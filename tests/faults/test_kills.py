"""SIGKILL at any instant: the former generation stays complete, and the next run resumes."""

import os
import random
import time
from collections.abc import Callable
from typing import Final

from tests.faults.fixtures import BIG, WEIGHTS, Workspace, result_of, wait_until
from tests.faults.independent_check import staged_bytes, whole_generations
from tests.support.fake_hub import Fault, FaultKind

KILLS: Final = int(os.environ.get("FAULTS_KILLS", "50"))
SEED: Final = int(os.environ.get("FAULTS_SEED", str(time.time_ns() % 100_000)))


def test_after_random_kills_a_generation_is_complete_and_the_next_run_resumes(
    workspace: Workspace, record_property: Callable[[str, object], None]
) -> None:
    """Kill each run after another delay; record how many bytes all runs together transferred."""
    random_delay = random.Random(SEED)
    former, wanted = workspace.former(), workspace.wanted()
    assert workspace.run(former).reason == "OK"
    before = whole_generations(workspace.cache)
    workspace.hub.log.clear()
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=6_000_000))
    finished = 0
    for number in range(KILLS):
        child = workspace.start(wanted, "--quiet")
        time.sleep(random_delay.uniform(0.2, 3.0))
        finished += child.poll() == 0
        child.kill()
        child.communicate()
        whole = whole_generations(workspace.cache)
        assert before <= whole, f"kill {number} of seed {SEED}"
        assert workspace.is_whole(former), f"kill {number} of seed {SEED}"
        if len(whole) > len(before):  # the wanted generation is there: start over with the big file
            assert workspace.is_whole(wanted)
            _forget(workspace)

    workspace.hub.faults.clear()
    last = workspace.run(wanted)

    assert last.reason == "OK"
    assert workspace.is_whole(former)
    assert workspace.is_whole(wanted)
    assert staged_bytes(workspace.cache) == 0
    sent = workspace.hub.log.bytes_sent(f"*{WEIGHTS}")
    record_property(
        "figures", f"seed {SEED}: {KILLS} kills, {finished} runs ended before theirs, {sent} bytes sent"
    )


def test_after_sigkill_at_nine_tenths_the_next_run_fetches_a_sixth_at_most(workspace: Workspace) -> None:
    """Kill a run when nine tenths of the big file have arrived; a new process fetches the rest."""
    wanted = workspace.wanted()
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=4_000_000))
    child = workspace.start(wanted)
    wait_until(lambda: workspace.hub.log.bytes_sent(f"*{WEIGHTS}") >= BIG * 9 // 10, child)
    child.kill()
    child.communicate()
    workspace.hub.faults.clear()
    sent_before = workspace.hub.log.bytes_sent(f"*{WEIGHTS}")
    workspace.hub.log.clear()

    assert workspace.run(wanted).reason == "OK"

    fetched = workspace.hub.log.bytes_sent(f"*{WEIGHTS}")
    assert fetched <= BIG * 15 // 100, (sent_before, fetched)


def test_a_killed_holder_releases_the_lease_at_once(workspace: Workspace) -> None:
    wanted = workspace.wanted()
    workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=1_000_000))
    holder = workspace.start(wanted)
    wait_until(lambda: workspace.hub.log.bytes_sent(f"*{WEIGHTS}") >= 1_000_000, holder)
    waiting = workspace.start(wanted, "--wait", "60s")
    time.sleep(1.0)
    assert waiting.poll() is None
    workspace.hub.faults.clear()
    holder.kill()
    holder.communicate()

    assert result_of(waiting).reason == "OK"
    assert workspace.is_whole(wanted)


def _forget(workspace: Workspace) -> None:
    """Delete the wanted generation and its big file, as `collect` does."""
    newest = max(
        (workspace.cache / ".model-cache/manifests").glob("*.json"), key=lambda path: path.stat().st_mtime_ns
    )
    newest.unlink()
    for folder in ("blobs", "snapshots"):
        for path in sorted(
            (workspace.cache / "huggingface/hub/models--org--first" / folder).rglob("*"), reverse=True
        ):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
