"""A model that has loaded damaged files is marked until it is loaded again; only readiness `verified` reloads it."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.check.deep_check_record import DeepCheck, DeepCheckRecord, Finding
from model_cache.places import PlaceName
from model_cache.reasons import Reason
from qda_worker.registry.registry import ModelState
from tests.unit.qda_worker.registry.test_cache_watch import WatchHarness

RECORD: Final = DeepCheckRecord("g", "2026-01-02T03:04:05Z", "pod x", 1.0, 2, 2)
BAD: Final = Finding("one", PlaceName.HUB, "weights", Reason.CACHE_CORRUPT, "is bad", 1)
FOUND: Final = DeepCheck(RECORD._replace(bad_files=1, findings=(BAD,)), 1, (BAD,))
MENDED: Final = DeepCheck(RECORD._replace(mended_files=1, mended=(BAD,)), 0, ())
WELL: Final = DeepCheck(RECORD, 0, ())


@pytest.fixture
def harness(tmp_path: Path) -> WatchHarness:
    return WatchHarness(tmp_path)


def damaged(harness: WatchHarness) -> list[str]:
    return [key for key, served in harness.registry.models.items() if served.damaged]


def replace_file(harness: WatchHarness, key: str = "one") -> None:
    new = harness.folder / "new"
    new.write_text("3")
    os.replace(new, harness.folder / key / "weights")


async def test_a_damaged_model_serves_on_and_is_marked_until_it_is_loaded_again(
    harness: WatchHarness,
) -> None:
    watch = harness.watch()
    await watch.step()
    assert damaged(harness) == []

    harness.deep_check = FOUND
    await watch.step()
    assert damaged(harness) == ["one"]
    assert harness.states() == [ModelState.SERVING] * 2
    assert harness.events().count("model.damaged") == 1

    replace_file(harness)
    for deep_check in (MENDED, WELL, None):
        harness.deep_check = deep_check
        await watch.step()
        assert damaged(harness) == ["one"], "it still serves what it has loaded"
        assert harness.registry.restart_needed
    assert harness.loads.count("one") == 1


async def test_what_was_mended_before_the_watch_saw_it_was_loaded_too(harness: WatchHarness) -> None:
    watch = harness.watch()
    await watch.step()
    replace_file(harness)
    harness.deep_check = MENDED
    await watch.step()
    assert damaged(harness) == ["one"]


async def test_a_finding_that_a_later_check_does_not_confirm_is_dropped(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.deep_check = FOUND
    await watch.step()
    harness.deep_check = WELL
    await watch.step()
    assert damaged(harness) == []


async def test_missing_files_are_no_damage(harness: WatchHarness) -> None:
    gone = BAD._replace(reason=Reason.CACHE_INCOMPLETE, modified=None)
    harness.deep_check = DeepCheck(RECORD._replace(bad_files=1, findings=(gone,)), 1, (gone,))
    await harness.watch().step()
    assert damaged(harness) == []


@pytest.mark.parametrize("seen", [True, False], ids=["seen before the repair", "repaired at once"])
async def test_with_readiness_verified_a_mended_model_is_loaded_again(
    harness: WatchHarness, seen: bool
) -> None:
    watch = harness.watch(reload_mended=True)
    await watch.step()
    if seen:
        harness.deep_check = FOUND
        await watch.step()
        assert harness.loads.count("one") == 1, "the files are still bad"
    replace_file(harness)
    harness.deep_check = MENDED
    await watch.step()
    assert sorted(harness.loads) == ["one", "one", "two"]
    await watch.step()
    assert damaged(harness) == []
    assert sorted(harness.loads) == ["one", "one", "two"]
    assert harness.states() == [ModelState.SERVING] * 2


async def test_a_model_of_another_catalog_does_not_matter(harness: WatchHarness) -> None:
    other = BAD._replace(model="three")
    harness.deep_check = DeepCheck(RECORD._replace(bad_files=1, findings=(other,)), 1, (other,))
    await harness.watch().step()
    assert damaged(harness) == []
