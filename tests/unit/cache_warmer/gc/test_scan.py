"""What a whole scan decides: which generation goes, what the names lead to next, and which places are left out."""

import dataclasses
import os
from pathlib import Path

import pytest

from cache_warmer.artifacts.hf_layout import read_tree_list, update_tree_list
from model_cache.catalog.catalog import model_digest
from model_cache.layout import snapshot_folder
from model_cache.places import resolve_places
from model_cache.record_rules import source_folder
from model_cache.references import PendingModel, Reference, dump_reference, reference_path
from tests.support.generations import (
    NOW,
    OLD,
    FilledCache,
    cache_at,
    files_below,
    hub_model,
    rules_for,
    write_old_file,
)
from tests.unit.cache_warmer.gc.conftest import NEWER, OLDER, collect, snapshot


@pytest.mark.parametrize("kind", ["cache", "host"])
def test_the_older_generation_is_deleted(kind: str, request: pytest.FixtureRequest) -> None:
    cache: FilledCache = request.getfixturevalue(kind)

    plan = collect(cache)

    assert plan.freed_bytes > 0
    assert not snapshot(cache, "a").exists()
    assert snapshot(cache, "b").is_dir()
    assert [path.name[:8] for path in (cache.places.spacy.path / ".packages").glob("de*")] == ["de_a-2.0"]


def test_after_a_rollback_of_the_catalog_the_names_lead_back(cache: FilledCache) -> None:
    plan = collect(cache, OLDER)

    assert (cache.folder("org/x") / "refs/main").read_bytes() == b"a" * 40
    names = {path.name for path in cache.places.spacy.path.iterdir() if path.is_symlink()}
    assert names == {"de_a", "de_a-1.0.dist-info"}
    assert all(path.exists() for path in cache.places.spacy.path.iterdir())
    assert not plan.holds


@pytest.mark.parametrize("mode", [0o2775, 0o777])
def test_on_a_host_a_place_that_other_users_warm_into_is_left_alone(host: FilledCache, mode: int) -> None:
    for place in (host.places.hub, host.places.spacy):
        place.path.chmod(mode)
    before = set(files_below(host.places.hub.path) | files_below(host.places.spacy.path))

    collect(host)

    assert set(files_below(host.places.hub.path) | files_below(host.places.spacy.path)) == before


def test_on_a_host_files_that_were_only_found_stay(tmp_path: Path) -> None:
    host = FilledCache(resolve_places("host", {}, tmp_path))
    host.publish(OLDER, OLD, fetched=False)
    host.publish(NEWER, OLD + 1)
    for tree_list in host.folder("org/x").glob("trees/*"):
        tree_list.unlink()
    before = files_below(host.places.hub.path) | files_below(host.places.spacy.path)

    plan = collect(host)

    assert plan.freed_bytes == 0
    assert {hold.why for hold in plan.holds if "models--" in str(hold.path)} == {
        "its files were found here, not fetched by the warmer"
    }
    after = files_below(host.places.hub.path) | files_below(host.places.spacy.path)
    assert {path: after.get(path) for path in before} == before


def test_on_a_host_a_file_that_another_project_fetched_anew_stays(host: FilledCache) -> None:
    blob = (snapshot(host, "a") / "a.json").resolve()
    os.utime(blob, (NOW, NOW))

    collect(host)

    assert (snapshot(host, "a") / "a.json").read_bytes()


def test_a_cache_of_our_own_is_ours_whoever_fetched_its_files(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    cache.publish(OLDER, OLD, fetched=False)
    cache.publish(NEWER, OLD + 1)

    collect(cache)

    assert not snapshot(cache, "a").exists()


@pytest.mark.parametrize("is_live", [True, False])
def test_what_an_unfinished_warm_has_verified_is_retained(cache: FilledCache, is_live: bool) -> None:
    model, tree = OLDER
    pending = tuple(PendingModel(model_digest(one), *source_folder(one.source)) for one in (model, tree))
    reference = Reference("ns/b", "f" * 64, {}, pending=pending)
    path = write_old_file(reference_path(cache.places, "ns/b"), dump_reference(reference))
    collector = cache.collector(NEWER)
    dead = frozenset() if is_live else frozenset({path})

    collector.apply(collector.scan(dataclasses.replace(rules_for(NEWER), dead_references=dead)))

    assert snapshot(cache, "a").exists() is is_live
    assert (
        any(path.name.startswith("de_a-1.0") for path in (cache.places.spacy.path / ".packages").iterdir())
        is is_live
    )


def test_an_unfinished_warm_retains_a_file_that_an_expired_model_lists(cache: FilledCache) -> None:
    """Another selection of the same commit is under way: its record does not exist yet."""
    more = hub_model("one", "org/x", "a", ["a.json", "more.json"])
    pending = (PendingModel(model_digest(more), *source_folder(more.source)),)
    write_old_file(
        reference_path(cache.places, "b"), dump_reference(Reference("b", "f" * 64, {}, pending=pending))
    )

    collect(cache)

    assert (snapshot(cache, "a") / "a.json").read_bytes()


def test_files_that_nfs_keeps_open_are_left_alone(cache: FilledCache) -> None:
    blobs = write_old_file(cache.folder("org/x") / "blobs" / ".nfs0000001")
    link = write_old_file(snapshot(cache, "b") / ".nfs0000002")

    plan = collect(cache)

    assert blobs.exists()
    assert link.exists()
    assert not [one for one in plan.deletions if ".nfs" in one.path.name]
    assert not plan.holds


def test_a_list_of_the_hub_client_names_no_deleted_file(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    cache.publish([hub_model("one", "org/x", "a", ["a.json", "b.json"])], OLD)
    smaller = [hub_model("one", "org/x", "a", ["b.json"])]
    cache.publish(smaller, OLD + 1)
    update_tree_list(cache.places, snapshot_folder(smaller[0].source))  # type: ignore[arg-type]  # of a hub
    path = cache.folder("org/x") / "trees" / f"{'a' * 40}.json"
    assert set(read_tree_list(path)) == {"a.json", "b.json"}

    collect(cache, smaller)

    assert set(read_tree_list(path)) == {"b.json"}
    assert (snapshot(cache, "a") / "b.json").read_bytes()
    assert not (snapshot(cache, "a") / "a.json").exists()
