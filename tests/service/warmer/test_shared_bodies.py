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
from tests.service.warmer.fixtures import Workspace, write_files
from tests.support.fake_hub import Repository

WEIGHTS: Final = "pytorch_model.bin"


def entry(key: str, repository: Repository, *files: str) -> dict[str, object]:
    source = {"repository": repository.id, "revision": repository.commit, "files": list(files)}
    return {"key": key, "task": "embedding", "huggingface": source}


def write(workspace: Workspace, *models: dict[str, object]) -> None:
    catalog = {"apiVersion": "qda/v1", "kind": "Catalog", "models": list(models)}
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")


def is_whole(workspace: Workspace) -> bool:
    places = resolve_places(str(workspace.cache), {}, Path("/nowhere"))
    return check(load_catalog(workspace.catalog).models, places, Tier.DEEP).reason is Reason.OK


def fetches(workspace: Workspace, name: str) -> int:
    return len(workspace.hub.log.requests(f"*/resolve/*/{name}", method="GET"))


def test_two_keys_of_one_commit_fetch_its_bodies_once(workspace: Workspace) -> None:
    second = workspace.repositories[1]
    write(workspace, entry("a", second, "config.json", WEIGHTS), entry("b", second, "copy.json", WEIGHTS))
    size = second.files[WEIGHTS].size + second.files["config.json"].size

    plan = workspace.plan().document
    listings = len(workspace.hub.log.requests("/api/models/*/tree/*"))
    outcome = workspace.warm()

    assert plan["bytes_to_fetch"] == size, "the two small files are one content"
    assert [model["bytes_to_fetch"] for model in plan["models"]] == [size, 0]
    assert outcome.document["bytes_fetched"] == size
    assert (fetches(workspace, WEIGHTS), listings) == (1, 1)
    assert {model["key"]: model["reason"] for model in outcome.document["models"]} == {"a": "OK", "b": "OK"}
    assert is_whole(workspace)


def test_two_commits_of_one_repository_share_unchanged_bodies(workspace: Workspace) -> None:
    second = workspace.repositories[1]
    files = {"config.json": b'{"b": 3}', "copy.json": b'{"b": 4}'}
    weights = second.files[WEIGHTS].source
    newer = Repository(second.id, {**write_files(workspace.folder / "newer", files), WEIGHTS: weights})
    workspace.hub.add(newer)
    write(
        workspace, entry("old", second, "config.json", WEIGHTS), entry("new", newer, "config.json", WEIGHTS)
    )

    planned = workspace.plan().document["bytes_to_fetch"]
    outcome = workspace.warm()

    assert outcome.document["bytes_fetched"] == planned
    assert (fetches(workspace, WEIGHTS), fetches(workspace, "config.json")) == (1, 2)
    assert is_whole(workspace)
    assert workspace.plan().document["bytes_to_fetch"] == 0


def test_two_keys_of_one_wheel_fetch_and_unpack_it_once(workspace: Workspace) -> None:
    catalog = yaml.safe_load(workspace.catalog.read_text("utf-8"))
    package = next(model for model in catalog["models"] if "spacy" in model)
    write(workspace, package, {**copy.deepcopy(package), "key": "again"})

    planned = workspace.plan().document["bytes_to_fetch"]
    outcome = workspace.warm()

    assert outcome.document["bytes_fetched"] == planned == workspace.wheel.stat().st_size
    assert not list((workspace.cache / "spacy/.packages/.staging").iterdir())
    assert is_whole(workspace)


def test_the_preflight_counts_a_shared_body_once(workspace: Workspace) -> None:
    second = workspace.repositories[1]
    write(workspace, entry("a", second, WEIGHTS))
    alone = workspace.plan().document["preflight"]["bytes_needed"]
    write(workspace, entry("a", second, WEIGHTS), entry("b", second, WEIGHTS))

    assert workspace.plan().document["preflight"]["bytes_needed"] == alone
