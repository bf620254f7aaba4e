"""One body, several models: fetched once, counted once, verified for each."""

import copy
from pathlib import Path
from typing import Final

import yaml

from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import World, write_files
from tests.support.fake_hub import Repository

WEIGHTS: Final = "pytorch_model.bin"


def entry(key: str, repository: Repository, *files: str) -> dict[str, object]:
    source = {"repository": repository.id, "revision": repository.commit, "files": list(files)}
    return {"key": key, "task": "embedding", "huggingface": source}


def write(world: World, *models: dict[str, object]) -> None:
    catalog = {"apiVersion": "qda/v1", "kind": "Catalog", "models": list(models)}
    world.catalog.write_text(yaml.safe_dump(catalog), "utf-8")


def is_whole(world: World) -> bool:
    places = resolve_places(str(world.cache), {}, Path("/nowhere"))
    return check(load_catalog(world.catalog).models, places, Tier.DEEP).reason is Reason.OK


def fetches(world: World, name: str) -> int:
    return len(world.hub.log.requests(f"*/resolve/*/{name}", method="GET"))


def test_two_keys_of_one_commit_fetch_its_bodies_once(world: World) -> None:
    second = world.repositories[1]
    write(world, entry("a", second, "config.json", WEIGHTS), entry("b", second, "copy.json", WEIGHTS))
    size = second.files[WEIGHTS].size + second.files["config.json"].size

    plan = world.plan().document
    listings = len(world.hub.log.requests("/api/models/*/tree/*"))
    outcome = world.warm()

    assert plan["bytes_to_fetch"] == size, "the two small files are one content"
    assert [model["bytes_to_fetch"] for model in plan["models"]] == [size, 0]
    assert outcome.document["bytes_fetched"] == size
    assert (fetches(world, WEIGHTS), listings) == (1, 1)
    assert {model["key"]: model["reason"] for model in outcome.document["models"]} == {"a": "OK", "b": "OK"}
    assert is_whole(world)


def test_two_commits_of_one_repository_share_unchanged_bodies(world: World) -> None:
    second = world.repositories[1]
    files = {"config.json": b'{"b": 3}', "copy.json": b'{"b": 4}'}
    weights = second.files[WEIGHTS].source
    newer = Repository(second.id, {**write_files(world.folder / "newer", files), WEIGHTS: weights})
    world.hub.add(newer)
    write(world, entry("old", second, "config.json", WEIGHTS), entry("new", newer, "config.json", WEIGHTS))

    planned = world.plan().document["bytes_to_fetch"]
    outcome = world.warm()

    assert outcome.document["bytes_fetched"] == planned
    assert (fetches(world, WEIGHTS), fetches(world, "config.json")) == (1, 2)
    assert is_whole(world)
    assert world.plan().document["bytes_to_fetch"] == 0


def test_two_keys_of_one_wheel_fetch_and_unpack_it_once(world: World) -> None:
    catalog = yaml.safe_load(world.catalog.read_text("utf-8"))
    package = next(model for model in catalog["models"] if "spacy" in model)
    write(world, package, {**copy.deepcopy(package), "key": "again"})

    planned = world.plan().document["bytes_to_fetch"]
    outcome = world.warm()

    assert outcome.document["bytes_fetched"] == planned == world.wheel.stat().st_size
    assert not list((world.cache / "spacy/.packages/.staging").iterdir())
    assert is_whole(world)


def test_the_preflight_counts_a_shared_body_once(world: World) -> None:
    second = world.repositories[1]
    write(world, entry("a", second, WEIGHTS))
    alone = world.plan().document["preflight"]["bytes_needed"]
    write(world, entry("a", second, WEIGHTS), entry("b", second, WEIGHTS))

    assert world.plan().document["preflight"]["bytes_needed"] == alone
