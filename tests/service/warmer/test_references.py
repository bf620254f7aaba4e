"""Each warm records which catalog or release references its generation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.test_writers import AS_NOBODY


def references(workspace: Workspace) -> dict[str, dict[str, Any]]:
    found = [
        json.loads(path.read_bytes()) for path in (workspace.cache / ".model-cache/references").glob("*.json")
    ]
    return {one["name"]: one for one in found}


def test_the_reference_of_a_catalog_is_named_by_its_path(workspace: Workspace) -> None:
    document = workspace.warm().document

    (reference,) = references(workspace).values()
    assert reference["name"] == str(workspace.catalog)
    assert reference["generation"] == document["generation"]
    assert set(reference["models"]) == {"one", "two", "three"}
    assert (reference["namespace"], reference["deployment"]) == ("", "")


def test_the_reference_of_a_release_names_its_deployment(workspace: Workspace) -> None:
    workspace.environ |= {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_DEPLOYMENT": "rel-qda-worker"}

    workspace.warm(reference="texts/rel")

    path = workspace.cache / ".model-cache/references/texts_rel.json"
    reference = json.loads(path.read_bytes())
    assert (reference["namespace"], reference["deployment"]) == ("texts", "rel-qda-worker")


def test_a_second_reference_needs_no_request(workspace: Workspace) -> None:
    workspace.warm(reference="first")
    requests = workspace.hub.log.requests()

    outcome = workspace.warm(reference="second")

    assert outcome.reason == "OK"
    assert set(references(workspace)) == {"first", "second"}
    assert workspace.hub.log.requests() == requests


def test_a_warm_with_nothing_to_do_rewrites_nothing(workspace: Workspace) -> None:
    workspace.warm()
    (path,) = (workspace.cache / ".model-cache/references").glob("*.json")
    before = path.stat()

    workspace.warm()

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_models_warmed_one_by_one_are_all_referenced(workspace: Workspace) -> None:
    workspace.warm("one")
    workspace.warm("two")

    (reference,) = references(workspace).values()
    assert set(reference["models"]) == {"one", "two"}


def test_a_warm_that_fails_leaves_the_former_reference(workspace: Workspace) -> None:
    workspace.warm()
    former = references(workspace)
    text = workspace.catalog.read_text("utf-8")
    workspace.catalog.write_text(text.replace(workspace.repositories[0].commit, "9" * 40), "utf-8")

    outcome = workspace.warm()

    assert outcome.reason == "HUB_NOT_FOUND"
    assert references(workspace) == former


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_complete_read_only_cache_is_ok(workspace: Workspace) -> None:
    workspace.warm(reference="first")
    program = [sys.executable, "-c", AS_NOBODY, *workspace.arguments("warm", "--reference", "second")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    ended = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended
    assert set(references(workspace)) == {"first"}


def test_the_option_and_its_variable_name_the_reference(workspace: Workspace) -> None:
    out = workspace.warm(reference="a name/with: all sorts")

    assert out.reason == "OK"
    assert list(references(workspace)) == ["a name/with: all sorts"]
    assert all(
        path.parent == Path(workspace.cache / ".model-cache/references")
        for path in workspace.cache.rglob("*sorts*")
    )
