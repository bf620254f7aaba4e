"""Files that no manifest lists and that libraries need: each warm restores them, also one with nothing to fetch."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.service.warmer.archives import everything_below
from tests.service.warmer.fixtures import Workspace, catalog_of
from tests.service.warmer.test_collect import is_whole


def list_of(workspace: Workspace) -> Path:
    (path,) = workspace.cache.glob("huggingface/hub/models--org--first/trees/*.json")
    return path


def cut_list(workspace: Workspace) -> Path:
    list_of(workspace).write_bytes(list_of(workspace).read_bytes()[:20])
    return list_of(workspace)


def no_list(workspace: Workspace) -> Path:
    path = list_of(workspace)
    path.unlink()
    return path


def list_that_forgot_a_file(workspace: Workspace) -> Path:
    document = json.loads(list_of(workspace).read_bytes())
    del document["files"]["config.json"]
    list_of(workspace).write_text(json.dumps(document))
    return list_of(workspace)


def folder_as_reference(workspace: Workspace) -> Path:
    path = workspace.cache / "huggingface/hub/models--org--first/refs/main"
    path.unlink()
    (path / "in the way").mkdir(parents=True)
    return path


def folder_as_manifest(workspace: Workspace) -> Path:
    (path,) = workspace.cache.glob(".model-cache/manifests/*.json")
    path.unlink()
    path.mkdir()
    return path


def package_that_leads_away(workspace: Workspace) -> Path:
    path = workspace.cache / "spacy/de_tiny"
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
def test_a_warm_restores_it_without_a_request(
    workspace: Workspace, harm: Callable[[Workspace], Path]
) -> None:
    assert workspace.warm().reason == "OK"
    before = {name: content for name, (_, content) in everything_below(workspace.cache).items()}
    name = str(harm(workspace).relative_to(workspace.cache))
    workspace.hub.log.clear()

    outcome = workspace.warm()

    assert outcome.reason == "OK", outcome.err
    assert workspace.hub.log.bytes_sent("*/resolve/*") == 0
    assert (workspace.cache / name).read_bytes() == before.get(name, (workspace.cache / name).read_bytes())
    assert not (workspace.cache / name).resolve().is_relative_to("/etc")
    assert is_whole(workspace)
    again = everything_below(workspace.cache)
    assert workspace.warm().reason == "OK"
    assert everything_below(workspace.cache) == again, "and then there is nothing to do"


def test_two_keys_of_one_commit_share_its_list_of_files(workspace: Workspace) -> None:
    document = catalog_of(workspace.repositories, workspace.wheel)
    one = document["models"][0]
    source = {**one["huggingface"], "files": ["README.md"]}
    document["models"].append({"key": "four", "task": "embedding", "huggingface": source})
    workspace.catalog.write_text(yaml.safe_dump(document), "utf-8")

    for _ in range(2):
        assert workspace.warm().reason == "OK"

    listed = json.loads(list_of(workspace).read_bytes())["files"]
    assert set(listed) == {"config.json", "sub/deep/vocab.txt", "model.safetensors", "README.md"}
    before = everything_below(workspace.cache)
    assert workspace.warm().reason == "OK"
    assert everything_below(workspace.cache) == before
