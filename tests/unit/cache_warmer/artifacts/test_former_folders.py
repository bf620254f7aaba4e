"""The folders for older sentence-transformers: links of ours follow the commit, and those of others stay."""

import errno
import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.artifacts.former_folders import (
    former_folders,
    remove_dangling_links,
    update_former_folders,
)
from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from model_cache.places import Places, resolve_places

REPOSITORY: Final = "sentence-transformers/paraphrase"
FILES: Final = ("modules.json", "config.json", "1_Pooling/config.json")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


def model(task: Task = Task.PARAPHRASE) -> Model:
    return Model("paraphrase", task, HuggingFaceSource(REPOSITORY, "a" * 40, ()))


def snapshot(places: Places, commit: str = "a", files: tuple[str, ...] = FILES) -> Path:
    """Write a snapshot and return its folder."""
    folder = places.hub.path / "models--sentence-transformers--paraphrase" / "snapshots" / (commit * 40)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{commit} {name}")
    return folder


def update(places: Places, written: Path, task: Task = Task.PARAPHRASE) -> Path:
    """Update the links and return the former folder."""
    update_former_folders(model(task), HuggingFaceSource(REPOSITORY, written.name, ()), places)
    return places.torch.path / "sentence_transformers" / "sentence-transformers_paraphrase"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_each_file_of_the_snapshot_has_a_relative_link(places: Places) -> None:
    former = update(places, snapshot(places))
    assert contents(former) == {name: f"a {name}" for name in FILES}
    targets = [os.readlink(former / name) for name in FILES]
    assert not any(map(os.path.isabs, targets))
    assert (former.parent / "models--sentence-transformers--paraphrase" / "snapshots").is_dir()


def test_the_links_follow_the_next_commit_and_lose_what_it_does_not_have(places: Places) -> None:
    update(places, snapshot(places))
    former = update(places, snapshot(places, "b", ("modules.json", "model.bin")))
    assert contents(former) == {"modules.json": "b modules.json", "model.bin": "b model.bin"}
    assert not (former / "1_Pooling").exists()


def test_a_file_that_another_program_put_there_stays(places: Places) -> None:
    former = update(places, snapshot(places))
    (former / "config.json").unlink()
    (former / "config.json").write_text("of sentence-transformers 2.1")
    (former / "model.bin.json").write_text("{}")
    update(places, snapshot(places, "b"))
    assert contents(former)["config.json"] == "of sentence-transformers 2.1"
    assert contents(former)["model.bin.json"] == "{}"
    assert contents(former)["modules.json"] == "b modules.json"


@pytest.mark.parametrize("kind", ["files", "empty", "link", "absolute links", "file"])
def test_a_folder_of_another_program_is_not_changed(places: Places, tmp_path: Path, kind: str) -> None:
    former = places.torch.path / "sentence_transformers" / "sentence-transformers_paraphrase"
    other = tmp_path / "other"
    other.mkdir()
    former.parent.mkdir(parents=True)
    if kind == "link":
        former.symlink_to(other)
    elif kind == "file":
        former.write_text("x")
    else:
        former.mkdir()
    if kind == "files":
        (former / "modules.json").write_text("theirs")
    elif kind == "absolute links":
        (former / "modules.json").symlink_to(other / "models--o--m/snapshots/x/modules.json")
    before = sorted((str(path), os.path.islink(path)) for path in [former, *former.rglob("*")])

    update(places, snapshot(places))

    assert sorted((str(path), os.path.islink(path)) for path in [former, *former.rglob("*")]) == before
    assert list(other.iterdir()) == []


def test_a_model_without_modules_json_has_no_former_folder(places: Places) -> None:
    """The versions that read it would ask the hub in any case."""
    assert not update(places, snapshot(places, files=("config.json",))).exists()


def test_models_of_other_libraries_have_none(places: Places) -> None:
    assert not update(places, snapshot(places), Task.SENTIMENT).parent.exists()
    assert former_folders(model(Task.SENTIMENT), places) == frozenset()


def test_links_are_removed_when_their_snapshot_is_gone_and_files_of_others_stay(places: Places) -> None:
    written = snapshot(places)
    former = update(places, written)
    (former / "notes.txt").write_text("theirs")
    foreign = former.parent / "org_other"
    foreign.mkdir()
    (foreign / "modules.json").symlink_to("/nowhere/models--org--other/snapshots/x/modules.json")

    remove_dangling_links(places)
    assert set(contents(former)) == {*FILES, "notes.txt"}, "nothing while the snapshot is there"

    for path in sorted(written.parents[1].rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    written.parents[1].rmdir()
    remove_dangling_links(places)

    assert contents(former) == {"notes.txt": "theirs"}
    assert not (former / "1_Pooling").exists()
    assert os.path.lexists(foreign / "modules.json")
    assert not os.path.lexists(former.parent / "models--sentence-transformers--paraphrase")


def test_without_links_no_empty_folder_is_left(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """sentence-transformers 2.0 would take one for the model."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    former = update(places, snapshot(places))
    assert list(former.parent.iterdir()) == []
