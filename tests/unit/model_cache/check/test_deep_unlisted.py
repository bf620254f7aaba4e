"""Paths that no manifest lists: which are reported, and which belong to other projects."""

import json
import shutil
from pathlib import Path

import pytest

from model_cache.check.deep import find_unlisted
from model_cache.places import Places
from tests.support.cache_trees import CacheTree, build_cache
from tests.unit.model_cache.check.test_cli import CATALOG, cache_check_in


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    (tmp_path / "c.yaml").write_text(CATALOG)
    return build_cache(tmp_path / "cache")


def added(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return str(path)


def as_host(places: Places) -> Places:
    return places._replace(label="host")


def test_a_cache_of_listed_files_has_no_unlisted_paths(tree: CacheTree) -> None:
    assert (tree.places.spacy.path / "de_test").is_symlink()
    assert find_unlisted(tree.places) == ()


def test_leftovers_and_code_on_the_path_are_unlisted(tree: CacheTree) -> None:
    spacy, hub = tree.places.spacy.path, tree.places.hub.path
    snapshot = tree.snapshot_file("config.json").parent
    expected = [
        added(spacy / "sitecustomize.py"),
        added(tree.spacy_file("evil.py")),
        added(snapshot / "onnx/model.onnx"),
        str(Path(added(spacy / ".packages/de_old-1.0.0-00000000/de_old/meta.json")).parents[1]) + "/",
        str(Path(added(hub / "models--else--where/blobs/x")).parents[1]) + "/",
        str(Path(added(snapshot.parent / ("c" * 40) / "config.json")).parent) + "/",
    ]
    added(spacy / ".packages/.staging/a.whl.incomplete")
    added(tree.blob("config.json").with_name("b.incomplete"))

    assert find_unlisted(tree.places) == tuple(sorted(expected))


def test_on_a_host_only_our_packages_and_startup_modules_are_searched(tree: CacheTree) -> None:
    spacy, hub = tree.places.spacy.path, tree.places.hub.path
    added(tree.snapshot_file("config.json").parent / "onnx/model.onnx")
    added(hub / "models--else--where/blobs/x")
    added(spacy / "another_package/__init__.py")
    added(tree.spacy_file("__pycache__/x.pyc"))
    expected = [added(spacy / "usercustomize.py"), added(tree.spacy_file("evil.py"))]
    assert find_unlisted(as_host(tree.places)) == tuple(sorted(expected))


def test_files_of_a_former_generation_are_listed(tree: CacheTree) -> None:
    for record in (tree.places.own.path / "models").iterdir():
        record.unlink()
    assert find_unlisted(tree.places) == ()
    tree.manifest.write_bytes(tree.manifest.read_bytes()[:100])
    assert find_unlisted(tree.places) == (), "without a record nothing is known"


def test_a_deep_check_reports_unlisted_paths_and_is_ok(tree: CacheTree) -> None:
    stranger = added(tree.places.spacy.path / "sitecustomize.py")
    code, out, _ = cache_check_in(tree, "--deep", "--quiet")
    assert code == 0
    assert f"unlisted: {stranger}" in out.splitlines()
    document = json.loads(cache_check_in(tree, "--deep", "--quiet", "--format", "json")[1])
    assert document["unlisted"] == [stranger]
    assert "unlisted" not in json.loads(cache_check_in(tree, "--format", "json")[1])


def test_a_cache_that_disappears_meanwhile_is_not_a_failure(tree: CacheTree) -> None:
    shutil.rmtree(tree.places.hub.path)
    assert find_unlisted(tree.places) == ()
