"""Repositories whose names differ in case alone, on a volume where they have one folder."""

from pathlib import Path

import pytest

from cache_warmer.gc.scan import Scanner
from tests.support.generations import NOW, OLD, cache_at, hub_model, rules_for


@pytest.mark.parametrize("one_folder", [True, False])
def test_what_one_of_them_needs_is_not_deleted_for_the_other(tmp_path: Path, one_folder: bool) -> None:
    former, current = ([hub_model("one", repository, "a", ["a.json"])] for repository in ("ORG/X", "org/x"))
    cache = cache_at(tmp_path / "cache")
    cache.publish(former, OLD)
    cache.publish(current, OLD + 1)

    scanner = Scanner(current, cache.places, NOW, None, is_same_folder=lambda _, __: one_folder)
    plan = scanner.scan(rules_for(current))

    deleted = {path.path for path in plan.deletions if "models--ORG--X/snapshots" in path.path.as_posix()}
    assert bool(deleted) is not one_folder
