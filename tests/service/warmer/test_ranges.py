"""A file fetched in ranges: concurrently, resumed with its gaps, and from servers with faults."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.transfer.body import RANGES_AT_ONCE, SPLIT_ABOVE
from cache_warmer.transfer.claim import staged_bytes
from cache_warmer.transfer.journal import journal_path
from cache_warmer.transfer.staging import private_files, staged_extents
from tests.service.warmer.fixtures import Workspace, build_workspace
from tests.service.warmer.test_resume import start
from tests.support.fake_hub import Fault, FaultKind

# Three ranges.
BIG: Final = SPLIT_ABOVE + 16_000_000
WEIGHTS: Final = "model.safetensors"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    for name in ("workspace", "hub"):
        (tmp_path / name).mkdir()
    new = build_workspace(tmp_path / "workspace", tmp_path / "hub", BIG)
    with new.hub:
        yield new


def resting(workspace: Workspace) -> Path:
    """Return the name of the staging file between runs."""
    sha256 = workspace.repositories[0].files[WEIGHTS].sha256
    return workspace.cache / f"huggingface/hub/models--org--first/blobs/{sha256}.incomplete"


def staging(workspace: Workspace) -> Path:
    """Return the staging file of a run that was killed."""
    (private,) = private_files(resting(workspace))
    return private


def ranges(workspace: Workspace) -> list[str | None]:
    return [request.range for request in workspace.hub.log.requests(f"*{WEIGHTS}", host="storage")]


def bytes_sent(workspace: Workspace) -> int:
    return workspace.hub.log.bytes_sent(f"*{WEIGHTS}")


def killed_at(workspace: Workspace, share: float) -> None:
    """Start a run, and kill it when that share of the big file is in its journal."""
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=20_000_000, host="storage"))
    child = start(workspace)
    while staged_bytes(resting(workspace), BIG) < BIG * share:
        assert child.poll() is None, child.communicate()
    child.kill()
    child.communicate()
    workspace.hub.faults.clear()
    workspace.hub.log.clear()


def test_the_ranges_of_a_big_file_cover_it_once(workspace: Workspace) -> None:
    outcome = workspace.warm("one")

    assert outcome.reason == "OK"
    assert outcome.document["bytes_fetched"] == workspace.plan().document["models"][0]["bytes_present"]
    requested = [tuple(map(int, re.findall(r"\d+", one or ""))) for one in ranges(workspace)]
    assert 1 < len(requested) <= RANGES_AT_ONCE
    assert sum((one[1] + 1 if len(one) == 2 else BIG) - one[0] for one in requested) == BIG
    assert not list(workspace.cache.rglob("*.incomplete"))


def test_after_sigkill_at_90_percent_only_the_rest_is_fetched(workspace: Workspace) -> None:
    killed_at(workspace, 0.9)

    planned = workspace.plan().document["models"][0]["bytes_to_fetch"]
    outcome = workspace.warm("one")

    assert outcome.reason == "OK"
    assert planned <= BIG * 15 // 100 + 1000
    assert bytes_sent(workspace) <= BIG * 15 // 100


def test_a_killed_run_loses_little_of_each_range(workspace: Workspace) -> None:
    killed_at(workspace, 0.3)
    there = staged_extents(staging(workspace), BIG)
    assert len(there.pairs()) > 1, "there are holes"

    assert workspace.warm("one").reason == "OK"

    assert bytes_sent(workspace) <= BIG - there.total + 10_000


def test_on_another_machine_only_synced_bytes_count(workspace: Workspace) -> None:
    killed_at(workspace, 0.3)
    note = journal_path(staging(workspace))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip().encode()
    content = note.read_bytes()
    assert boot in content
    note.write_bytes(content.replace(boot, b"another".ljust(len(boot), b"-")))

    assert staged_extents(staging(workspace), BIG).total == 0, (
        "nothing was synced so early, and the note is torn"
    )
    assert workspace.warm("one").reason == "OK"


def test_a_gap_that_the_journal_lacks_is_found_by_the_hash(workspace: Workspace) -> None:
    killed_at(workspace, 0.5)
    with staging(workspace).open("r+b") as file:
        file.write(bytes(100_000))

    assert workspace.warm("one").reason == "OK"


def test_a_journal_without_its_file_is_ignored(workspace: Workspace) -> None:
    killed_at(workspace, 0.5)
    staging(workspace).unlink()

    assert workspace.warm("one").reason == "OK"

    assert bytes_sent(workspace) >= BIG


@pytest.mark.parametrize("times", [1, 2, None])
def test_a_server_without_ranges_is_read_in_one_stream(workspace: Workspace, times: int | None) -> None:
    workspace.hub.faults.add(Fault(FaultKind.IGNORE_RANGE, WEIGHTS, host="storage", times=times))

    assert workspace.warm("one").reason == "OK"


# Those without progress happen twice: three times in one range would be as often as it is tried.
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RESET, WEIGHTS, after=5_000_000, times=3),
        Fault(FaultKind.CUT, WEIGHTS, after=100_000, times=3),
        Fault(FaultKind.SHORT, WEIGHTS, count=5000, times=2),
        Fault(FaultKind.LONG, WEIGHTS, count=5000, times=2),
        Fault(FaultKind.WRONG_BYTES, WEIGHTS, after=40_000_000, times=1, host="storage"),
        Fault(FaultKind.STATUS, WEIGHTS, status=416, times=2, host="storage"),
        Fault(FaultKind.STATUS, WEIGHTS, status=503, times=2, host="storage"),
        Fault(FaultKind.STATUS, WEIGHTS, status=429, retry_after=1, times=2, host="storage"),
        Fault(FaultKind.HEADERS, WEIGHTS, headers={"Content-Range": "bytes 7-9/10"}, times=2, host="storage"),
        Fault(FaultKind.HEADERS, WEIGHTS, headers={"Content-Range": None}, times=2, host="storage"),
        Fault(FaultKind.HEADERS, WEIGHTS, headers={"Content-Length": None}, times=2, host="storage"),
        Fault(FaultKind.STALL, WEIGHTS, after=3_000_000, times=2, host="storage"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{len(fault.headers)}-{fault.count}",
)
def test_a_fault_of_some_ranges_is_retried(workspace: Workspace, fault: Fault) -> None:
    workspace.hub.faults.add(fault)
    # on a busy machine the hub of the test may be silent for a second
    seconds = 2.0 if fault.kind is FaultKind.STALL else 30.0

    assert workspace.warm("one", stall_timeout=seconds).reason == "OK"

    assert not workspace.hub.faults.waiting(), "the fault did happen"


def test_a_wrong_range_is_a_mismatch_with_both_hashes(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.WRONG_BYTES, WEIGHTS, after=40_000_000, host="storage"))

    outcome = workspace.warm("one")

    assert outcome.reason == "CONTENT_MISMATCH"
    assert workspace.repositories[0].files[WEIGHTS].sha256 in outcome.err
    assert len(re.findall(r"\b[0-9a-f]{64}\b", outcome.err)) >= 2
    assert staged_bytes(resting(workspace), BIG) == 0


def test_another_user_of_the_volume_can_resume_staged_bytes(workspace: Workspace) -> None:
    former = os.umask(0o077)
    try:
        killed_at(workspace, 0.3)
    finally:
        os.umask(former)

    assert staging(workspace).stat().st_mode & 0o777 == 0o644
