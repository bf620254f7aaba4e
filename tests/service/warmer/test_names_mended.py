"""Files that no manifest lists and that libraries need: each warm restores them, also one with nothing to fetch."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.service.warmer.archives import everything_below
from tests.service.warmer.fixtures import World, catalog_of
from tests.service.warmer.test_collect import is_whole


def list_of(world: World) -> Path:
    (path,) = world.cache.glob("huggingface/hub/models--org--first/trees/*.json")
    return path


def cut_list(world: World) -> Path:
    list_of(world).write_bytes(list_of(world).read_bytes()[:20])
    return list_of(world)


def no_list(world: World) -> Path:
    path = list_of(world)
    path.unlink()
    return path


def list_that_forgot_a_file(world: World) -> Path:
    document = json.loads(list_of(world).read_bytes())
    del document["files"]["config.json"]
    list_of(world).write_text(json.dumps(document))
    return list_of(world)


def folder_as_reference(world: World) -> Path:
    path = world.cache / "huggingface/hub/models--org--first/refs/main"
    path.unlink()
    (path / "in the way").mkdir(parents=True)
    return path


def folder_as_manifest(world: World) -> Path:
    (path,) = world.cache.glob(".model-cache/manifests/*.json")
    path.unlink()
    path.mkdir()
    return path


def package_that_leads_away(world: World) -> Path:
    path = world.cache / "spacy/de_tiny"
    path.unlink()
    path.symlink_to("/etc")
    return path / "meta.json"


@pytest.mark.parametrize(
    "harm",
    [
        cut_list,
        no_list,
        list_that_forgot_a_file,
        folder_as_reference,
        folder_as_manifest,
        package_that_leads_away,
    ],
)
def test_a_warm_restores_it_without_a_request(world: World, harm: Callable[[World], Path]) -> None:
    assert world.warm().reason == "OK"
    before = {name: content for name, (_, content) in everything_below(world.cache).items()}
    name = str(harm(world).relative_to(world.cache))
    world.hub.log.clear()

    outcome = world.warm()

    assert outcome.reason == "OK", outcome.err
    assert world.hub.log.bytes_sent("*/resolve/*") == 0
    assert (world.cache / name).read_bytes() == before.get(name, (world.cache / name).read_bytes())
    assert not (world.cache / name).resolve().is_relative_to("/etc")
    assert is_whole(world)
    again = everything_below(world.cache)
    assert world.warm().reason == "OK"
    assert everything_below(world.cache) == again, "and then there is nothing to do"


def test_two_keys_of_one_commit_share_its_list_of_files(world: World) -> None:
    document = catalog_of(world.repositories, world.wheel)
    one = document["models"][0]
    source = {**one["huggingface"], "files": ["README.md"]}
    document["models"].append({"key": "four", "task": "embedding", "huggingface": source})
    world.catalog.write_text(yaml.safe_dump(document), "utf-8")

    for _ in range(2):
        assert world.warm().reason == "OK"

    listed = json.loads(list_of(world).read_bytes())["files"]
    assert set(listed) == {"config.json", "sub/deep/vocab.txt", "model.safetensors", "README.md"}
    before = everything_below(world.cache)
    assert world.warm().reason == "OK"
    assert everything_below(world.cache) == before
