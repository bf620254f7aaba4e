"""Volumes that fill up, run out of inodes or turn read-only while a run writes to them."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.fixtures import BIG, WEIGHTS, World, result_of, suspended, wait_until
from tests.faults.independent_check import whole_generations
from tests.faults.volumes import break_file_system, ext4, fill, tmpfs, use_up_inodes
from tests.support.fake_hub import Fault, FaultKind

pytestmark = pytest.mark.usefixtures("mounts")


@pytest.mark.parametrize("file", ["config.json", WEIGHTS, "de_tiny-1.1.0-py3-none-any.whl"])
@pytest.mark.parametrize("volume", [tmpfs, ext4])
def test_a_disk_that_fills_up_is_reported_and_the_next_run_resumes(
    world: World, tmp_path: Path, volume: object, file: str
) -> None:
    """Fill the disk after the preflight, while the first, a middle or the last file arrives."""
    with (tmpfs if volume is tmpfs else ext4)(tmp_path / "volume", megabytes=100) as mounted:
        world.cache = mounted / "cache"
        former, wanted = world.former(), world.wanted()
        assert world.run(former).reason == "OK"
        before = whole_generations(world.cache)
        world.hub.faults.add(Fault(FaultKind.DELAY, f"*{file}", method="GET", seconds=2.0))
        world.hub.log.clear()
        child = world.start(wanted)
        wait_until(lambda: bool(world.hub.log.requests(f"*{file}", method="GET")), child)
        with suspended(child):
            ballast = fill(mounted)

        full = result_of(child)

        assert (full.reason, full.code) == ("NO_SPACE", 30), full.err
        assert str(mounted) in full.err
        assert whole_generations(world.cache) == before
        assert world.is_whole(former)
        ballast.unlink()
        world.hub.faults.clear()
        assert world.run(wanted).reason == "OK"
        assert world.is_whole(wanted)


def test_a_disk_that_is_too_small_is_reported_before_the_first_byte(world: World, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", megabytes=BIG // 1_000_000 - 2) as mounted:
        world.cache = mounted / "cache"

        small = world.run(world.wanted())

        assert (small.reason, small.code) == ("NO_SPACE", 30)
        assert world.hub.log.bytes_sent(f"*{WEIGHTS}") == 0


def test_too_few_inodes_are_reported_before_the_first_byte(world: World, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", megabytes=100, inodes=20) as mounted:
        world.cache = mounted / "cache"

        small = world.run(world.wanted())

        assert (small.reason, small.code) == ("NO_SPACE", 30)
        assert "inodes" in small.err
        assert world.hub.log.bytes_sent(f"*{WEIGHTS}") == 0


def test_inodes_that_run_out_are_reported_and_the_next_run_resumes(world: World, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "volume", megabytes=100, inodes=2000) as mounted:
        world.cache = mounted / "cache"
        wanted = world.wanted()
        world.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=1_000_000, seconds=2.0))
        child = world.start(wanted)
        wait_until(lambda: world.hub.log.bytes_sent(f"*{WEIGHTS}") >= 1_000_000, child)
        with suspended(child):
            ballast = use_up_inodes(mounted, leaving=0)

        full = result_of(child)

        assert (full.reason, full.code) == ("NO_SPACE", 30), full.err
        assert "inodes" in full.err
        for path in ballast.iterdir():
            path.unlink()
        assert world.run(wanted).reason == "OK"
        assert world.is_whole(wanted)


def test_a_volume_that_turns_read_only_is_named_and_keeps_the_generation(
    world: World, tmp_path: Path
) -> None:
    with ext4(tmp_path / "volume", megabytes=100) as mounted:
        world.cache = mounted / "cache"
        former, wanted = world.former(), world.wanted()
        assert world.run(former).reason == "OK"
        world.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=2_000_000, seconds=2.0))
        child = world.start(wanted)
        wait_until(lambda: world.hub.log.bytes_sent(f"*{WEIGHTS}") >= 2_000_000, child)
        break_file_system(mounted)

        broken = result_of(child)

        assert (broken.reason, broken.code) == ("NO_PERMISSION", 31), broken.err
        assert str(mounted) in broken.err
        assert world.is_whole(former)
        again = world.run(wanted)
        assert (again.reason, again.code) == ("NO_PERMISSION", 31), again.err


def test_places_on_different_mounts_form_one_cache(world: World, tmp_path: Path) -> None:
    world.cache.mkdir()
    with ExitStack() as mounted:
        for place in ("huggingface", "spacy", "torch", ".model-cache"):
            mounted.enter_context(tmpfs(world.cache / place, megabytes=60))
        former, wanted = world.former(), world.wanted()

        assert world.run(former).reason == "OK"
        assert world.run(wanted).reason == "OK"

        assert world.is_whole(former)
        assert world.is_whole(wanted)
        assert len(whole_generations(world.cache)) == 2
