"""Folders of a cache that somebody replaced by links: nothing is written to where they lead, and plan says so."""

import io
import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from tests.service.warmer.archives import cache_of, export, import_
from tests.service.warmer.fixtures import Workspace

# Every folder that a warm writes to.
FOLDERS: Final = (
    "huggingface",
    "huggingface/hub",
    "huggingface/hub/models--org--first",
    "huggingface/hub/models--org--first/blobs",
    "huggingface/hub/models--org--first/refs",
    "huggingface/hub/models--org--first/trees",
    "huggingface/hub/models--org--first/snapshots",
    "spacy",
    "spacy/.packages",
    "spacy/.packages/.staging",
    "torch",
    "torch/sentence_transformers",
    ".model-cache",
    ".model-cache/manifests",
    ".model-cache/models",
    ".model-cache/references",
    ".model-cache/refs",
    ".model-cache/whole-bytes",
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def link_out(cache: Path, folder: str, outside: Path) -> None:
    (cache / folder).parent.mkdir(parents=True, exist_ok=True)
    (cache / folder).symlink_to(outside)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_link_is_refused_before_the_first_byte_and_by_plan_too(
    workspace: Workspace, outside: Path, folder: str
) -> None:
    link_out(workspace.cache, folder, outside)

    planned, warmed = workspace.plan(), workspace.warm()

    assert (planned.code, planned.document["preflight"]["reason"]) == (32, "VOLUME_UNSUITABLE")
    assert (warmed.code, warmed.reason) == (32, "VOLUME_UNSUITABLE")
    assert f"{workspace.cache / folder}" in warmed.err
    assert str(outside) in warmed.err
    assert not workspace.hub.log.requests("*/resolve/*")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("folder", [name for name in FOLDERS if "staging" not in name])
def test_nothing_is_written_through_a_link_of_a_complete_cache(
    workspace: Workspace, outside: Path, folder: str
) -> None:
    assert workspace.warm().reason == "OK"
    shutil.rmtree(workspace.cache / folder)
    link_out(workspace.cache, folder, outside)

    for outcome in (workspace.warm(), workspace.repair()):
        assert outcome.code in {0, 32}, outcome.err  # nothing is written to some of them

    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_imported_through_a_link(
    workspace: Workspace, outside: Path, tmp_path: Path, folder: str
) -> None:
    assert workspace.warm().reason == "OK"
    export(workspace, tmp_path / "generation.tar")
    other = cache_of(workspace, "other")
    link_out(other, folder, outside)

    try:
        import_(workspace, tmp_path / "generation.tar", other)
    except ModelCacheError as error:
        assert error.reason is Reason.VOLUME_UNSUITABLE  # noqa: PT017  # some folders an import does not need

    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("folder", [name for name in FOLDERS if "org--first" not in name])
def test_nothing_is_collected_through_a_link(workspace: Workspace, outside: Path, folder: str) -> None:
    assert workspace.warm().reason == "OK"
    moved = outside / "moved"
    (workspace.cache / folder).mkdir(exist_ok=True)
    shutil.move(
        workspace.cache / folder, moved
    )  # a whole cache of others, with trees and references that are old
    for path in (moved, *moved.rglob("*")):
        os.utime(path, (0, 0), follow_symlinks=False)
    (workspace.cache / folder).symlink_to(moved)
    before = sorted(outside.rglob("*"))
    argv = [
        "collect",
        "--apply",
        "--keep",
        "0",
        "--catalog",
        str(workspace.catalog),
        "--cache",
        str(workspace.cache),
    ]

    try:
        cache_warmer(argv, workspace.environ, io.StringIO(), io.StringIO())
    except ModelCacheError as error:
        assert error.reason is Reason.VOLUME_UNSUITABLE, error  # noqa: PT017  # a collection skips some links
        assert str(moved) in str(error)  # noqa: PT017  # the same

    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("kind", ["file", "fifo", "link to nothing", "circle of links"])
@pytest.mark.parametrize("folder", [name for name in FOLDERS if "/" in name and name != "huggingface/hub"])
def test_what_has_the_name_of_a_folder_is_moved_aside(workspace: Workspace, folder: str, kind: str) -> None:
    assert workspace.warm().reason == "OK"
    path = workspace.cache / folder
    shutil.rmtree(path, ignore_errors=True)
    if kind == "file":
        path.write_text("of somebody")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere" if "nothing" in kind else path.name)

    warmed = workspace.repair()

    assert warmed.reason == "OK", warmed.err
    assert workspace.plan().code == 0
    if path.is_dir():  # some are not needed
        assert list(path.parent.glob(f"{path.name}.*.set-aside.incomplete"))


@pytest.mark.parametrize("target", ["nowhere", "huggingface"])
def test_a_place_that_is_a_link_to_nothing_is_named_before_the_first_byte(
    workspace: Workspace, target: str
) -> None:
    workspace.cache.mkdir()
    (workspace.cache / "huggingface").symlink_to(target)

    for outcome in (workspace.plan(), workspace.warm()):
        assert outcome.code == 32
    assert "huggingface is a link that leads nowhere" in outcome.err
