"""Volumes that fill up, run out of inodes or turn read-only while a run writes to them."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.fixtures import BIG, WEIGHTS, Workspace, result_of, suspended, wait_until
from tests.faults.independent_check import whole_generations
from tests.faults.volumes import break_file_system, ext4, fill, tmpfs, use_up_inodes
from tests.support.fake_hub import Fault, FaultKind

pytestmark = pytest.mark.usefixtures("mounts")


@pytest.mark.parametrize("file", ["config.json", WEIGHTS, "de_tiny-1.1.0-py3-none-any.whl"])
@pytest.mark.parametrize("volume", [tmpfs, ext4])
def test_a_disk_that_fills_up_is_reported_and_the_next_run_resumes(
    workspace: Workspace, tmp_path: Path, volume: object, file: str
) -> None:
    """Fill the disk after the preflight, while the first, a middle or the last file arrives."""
    with (tmpfs if volume is tmpfs else ext4)(tmp_path / "volume", megabytes=100) as mounted:
        workspace.cache = mounted / "cache"
        former, wanted = workspace.former(), workspace.wanted()
        assert workspace.run(former).reason == "OK"
        before = whole_generations(workspace.cache)
        workspace.hub.faults.add(Fault(FaultKind.DELAY, f"*{file}", method="GET", seconds=2.0))
        workspace.hub.log.clear()
        child = workspace.start(wanted)
        wait_until(lambda: bool(workspace.hub.log.requests(f"*{file}", method="GET")), child)
        with suspended(child):
            ballast = fill(mounted)

        full = result_of(child)

        assert (full.reason, full.code) == ("NO_SPACE", 30), full.err
        assert str(mounted) in full.err
        assert whole_generations(workspace.cache) == before
        assert workspace.is_whole(former)
        ballast.unlink()
        workspace.hub.faults.clear()
        assert workspace.run(wanted).reason == "OK"
        assert workspace.is_whole(wanted)


def test_a_disk_that_is_too_small_is_reported_before_the_first_byte(
    workspace: Workspace, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "volume", megabytes=BIG // 1_000_000 - 2) as mounted:
        workspace.cache = mounted / "cache"

        small = workspace.run(workspace.wanted())

        assert (small.reason, small.code) == ("NO_SPACE", 30)
        assert workspace.hub.log.bytes_sent(f"*{WEIGHTS}") == 0


def test_too_few_inodes_are_reported_before_the_first_byte(workspace: Workspace, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", megabytes=100, inodes=20) as mounted:
        workspace.cache = mounted / "cache"

        small = workspace.run(workspace.wanted())

        assert (small.reason, small.code) == ("NO_SPACE", 30)
        assert "inodes" in small.err
        assert workspace.hub.log.bytes_sent(f"*{WEIGHTS}") == 0


def test_inodes_that_run_out_are_reported_and_the_next_run_resumes(
    workspace: Workspace, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "volume", megabytes=100, inodes=2000) as mounted:
        workspace.cache = mounted / "cache"
        wanted = workspace.wanted()
        workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=1_000_000, seconds=2.0))
        child = workspace.start(wanted)
        wait_until(lambda: workspace.hub.log.bytes_sent(f"*{WEIGHTS}") >= 1_000_000, child)
        with suspended(child):
            ballast = use_up_inodes(mounted, leaving=0)

        full = result_of(child)

        assert (full.reason, full.code) == ("NO_SPACE", 30), full.err
        assert "inodes" in full.err
        for path in ballast.iterdir():
            path.unlink()
        assert workspace.run(wanted).reason == "OK"
        assert workspace.is_whole(wanted)


def test_a_volume_that_turns_read_only_is_named_and_keeps_the_generation(
    workspace: Workspace, tmp_path: Path
) -> None:
    with ext4(tmp_path / "volume", megabytes=100) as mounted:
        workspace.cache = mounted / "cache"
        former, wanted = workspace.former(), workspace.wanted()
        assert workspace.run(former).reason == "OK"
        workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=2_000_000, seconds=2.0))
        child = workspace.start(wanted)
        wait_until(lambda: workspace.hub.log.bytes_sent(f"*{WEIGHTS}") >= 2_000_000, child)
        break_file_system(mounted)

        broken = result_of(child)

        assert (broken.reason, broken.code) == ("NO_PERMISSION", 31), broken.err
        assert str(mounted) in broken.err
        assert workspace.is_whole(former)
        again = workspace.run(wanted)
        assert (again.reason, again.code) == ("NO_PERMISSION", 31), again.err


def test_places_on_different_mounts_form_one_cache(workspace: Workspace, tmp_path: Path) -> None:
    workspace.cache.mkdir()
    with ExitStack() as mounted:
        for place in ("huggingface", "spacy", "torch", ".model-cache"):
            mounted.enter_context(tmpfs(workspace.cache / place, megabytes=60))
        former, wanted = workspace.former(), workspace.wanted()

        assert workspace.run(former).reason == "OK"
        assert workspace.run(wanted).reason == "OK"

        assert workspace.is_whole(former)
        assert workspace.is_whole(wanted)
        assert len(whole_generations(workspace.cache)) == 2
