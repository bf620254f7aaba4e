"""Each warm records which catalog or release references its generation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.warmer.fixtures import World
from tests.service.warmer.test_writers import AS_NOBODY


def references(world: World) -> dict[str, dict[str, Any]]:
    found = [
        json.loads(path.read_bytes()) for path in (world.cache / ".model-cache/references").glob("*.json")
    ]
    return {one["name"]: one for one in found}


def test_the_reference_of_a_catalog_is_named_by_its_path(world: World) -> None:
    document = world.warm().document

    (reference,) = references(world).values()
    assert reference["name"] == str(world.catalog)
    assert reference["generation"] == document["generation"]
    assert set(reference["models"]) == {"one", "two", "three"}
    assert (reference["namespace"], reference["deployment"]) == ("", "")


def test_the_reference_of_a_release_names_its_deployment(world: World) -> None:
    world.environ |= {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_DEPLOYMENT": "rel-qda-worker"}

    world.warm(reference="texts/rel")

    path = world.cache / ".model-cache/references/texts_rel.json"
    reference = json.loads(path.read_bytes())
    assert (reference["namespace"], reference["deployment"]) == ("texts", "rel-qda-worker")


def test_a_second_reference_needs_no_request(world: World) -> None:
    world.warm(reference="first")
    requests = world.hub.log.requests()

    outcome = world.warm(reference="second")

    assert outcome.reason == "OK"
    assert set(references(world)) == {"first", "second"}
    assert world.hub.log.requests() == requests


def test_a_warm_with_nothing_to_do_rewrites_nothing(world: World) -> None:
    world.warm()
    (path,) = (world.cache / ".model-cache/references").glob("*.json")
    before = path.stat()

    world.warm()

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_models_warmed_one_by_one_are_all_referenced(world: World) -> None:
    world.warm("one")
    world.warm("two")

    (reference,) = references(world).values()
    assert set(reference["models"]) == {"one", "two"}


def test_a_warm_that_fails_leaves_the_former_reference(world: World) -> None:
    world.warm()
    former = references(world)
    text = world.catalog.read_text("utf-8")
    world.catalog.write_text(text.replace(world.repositories[0].commit, "9" * 40), "utf-8")

    outcome = world.warm()

    assert outcome.reason == "HUB_NOT_FOUND"
    assert references(world) == former


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_complete_read_only_cache_is_ok(world: World) -> None:
    world.warm(reference="first")
    program = [sys.executable, "-c", AS_NOBODY, *world.arguments("warm", "--reference", "second")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    ended = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended
    assert set(references(world)) == {"first"}


def test_the_option_and_its_variable_name_the_reference(world: World) -> None:
    out = world.warm(reference="a name/with: all sorts")

    assert out.reason == "OK"
    assert list(references(world)) == ["a name/with: all sorts"]
    assert all(
        path.parent == Path(world.cache / ".model-cache/references") for path in world.cache.rglob("*sorts*")
    )
