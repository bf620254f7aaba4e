"""Caches of two generations, of which the newer one is the current catalog's."""

import json
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.gc.plan import GcPlan
from model_cache.catalog.catalog import Model
from model_cache.places import resolve_places
from tests.support.generations import OLD, FilledCache, cache_at, hub_model, package, rules_for

OLDER: Final = [hub_model("one", "org/x", "a", ["a.json"]), package("names", "de_a", "1.0")]
NEWER: Final = [hub_model("one", "org/x", "b", ["b.bin"]), package("names", "de_a", "2.0")]


@pytest.fixture
def cache(tmp_path: Path) -> FilledCache:
    """Return a cache in a folder of its own."""
    filled = cache_at(tmp_path / "cache")
    filled.publish(OLDER, OLD)
    filled.publish(NEWER, OLD + 1)
    return filled


@pytest.fixture
def host(tmp_path: Path) -> FilledCache:
    """Return the same cache in the global caches of a user."""
    home = tmp_path / "host"
    home.mkdir()
    filled = FilledCache(resolve_places("host", {}, home))
    filled.publish(OLDER, OLD)
    filled.publish(NEWER, OLD + 1)
    for tree_list in filled.folder("org/x").glob("trees/*"):
        tree_list.unlink()  # a warmer writes none on a host
    own_commits = filled.places.own.path / "refs/models--org--x.json"
    own_commits.parent.mkdir()
    own_commits.write_text(json.dumps(["a" * 40, "b" * 40]))
    return filled


def collect(cache: FilledCache, models: list[Model] = NEWER) -> GcPlan:
    """Scan and sweep with these models as the catalog's; return the plan."""
    collector = cache.collector(models)
    plan = collector.scan(rules_for(models))
    collector.apply(plan)
    return plan


def snapshot(cache: FilledCache, commit: str) -> Path:
    """Return the snapshot folder of a commit, which is named by its repeated letter."""
    return cache.folder("org/x") / "snapshots" / (commit * 40)
