"""The reference of a repository: it moves with us, and another project's stays."""

import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.artifacts.hf_layout import update_main_ref
from model_cache.places import resolve_places

OLD, NEW, FOREIGN = "a" * 40, "b" * 40, "c" * 40
FOLDER: Final = "models--org--name"


def test_a_reference_has_no_line_break_and_moves_with_us(tmp_path: Path) -> None:
    places = resolve_places("host", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    folder = places.hub.path / FOLDER

    update_main_ref(folder, OLD, places)
    update_main_ref(folder, NEW, places)
    update_main_ref(folder, OLD, places)

    assert (folder / "refs/main").read_bytes() == OLD.encode()


def test_a_foreign_reference_stays_on_a_host_and_moves_in_a_cache_of_ours(tmp_path: Path) -> None:
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    variables = {"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_CACHE": str(own.hub.path)}
    host = resolve_places("host", variables, tmp_path)
    folder = own.hub.path / FOLDER
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(FOREIGN)

    update_main_ref(folder, NEW, host)
    assert (folder / "refs/main").read_text() == FOREIGN
    update_main_ref(folder, NEW, own)
    assert (folder / "refs/main").read_text() == NEW


@pytest.mark.parametrize("note", ["", "[", '{"a": 1}', "[1]"])
def test_a_damaged_note_makes_a_reference_foreign_and_is_no_error(tmp_path: Path, note: str) -> None:
    host = resolve_places("host", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    folder = host.hub.path / FOLDER
    update_main_ref(folder, OLD, host)
    (host.own.path / f"refs/{FOLDER}.json").write_text(note)

    update_main_ref(folder, NEW, host)

    assert (folder / "refs/main").read_text() == OLD


def test_a_fifo_as_reference_stays_on_a_host_and_is_replaced_in_ours(tmp_path: Path) -> None:
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    variables = {"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_CACHE": str(own.hub.path)}
    host = resolve_places("host", variables, tmp_path)
    folder = own.hub.path / FOLDER
    (folder / "refs").mkdir(parents=True)
    os.mkfifo(folder / "refs/main")

    update_main_ref(folder, NEW, host)
    assert (folder / "refs/main").is_fifo()
    update_main_ref(folder, NEW, own)
    assert (folder / "refs/main").read_text() == NEW


@pytest.mark.parametrize("content", ["\n", NEW + "\n", "no commit", "\x1b[2J", OLD + "\r\n"])
def test_a_reference_with_anything_else_than_a_commit_is_corrected_where_it_is_ours(
    tmp_path: Path, content: str
) -> None:
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    path = own.hub.path / FOLDER / "refs/main"
    path.parent.mkdir(parents=True)
    path.write_text(content)

    update_main_ref(path.parents[1], NEW, own)

    assert path.read_bytes() == NEW.encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_a_reference_of_ours_with_a_line_break_is_corrected_on_a_host(tmp_path: Path, end: str) -> None:
    host = resolve_places("host", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    path = host.hub.path / FOLDER / "refs/main"
    update_main_ref(path.parents[1], NEW, host)
    path.write_text(NEW + end)

    update_main_ref(path.parents[1], NEW, host)

    assert path.read_bytes() == NEW.encode()


def test_a_circle_of_links_as_reference_is_replaced_in_ours(tmp_path: Path) -> None:
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    path = own.hub.path / FOLDER / "refs/main"
    path.parent.mkdir(parents=True)
    path.symlink_to("main")

    update_main_ref(path.parents[1], NEW, own)

    assert path.read_bytes() == NEW.encode()


def test_a_file_under_the_name_of_the_folder_is_moved_aside_in_ours(tmp_path: Path) -> None:
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    folder = own.hub.path / FOLDER
    folder.mkdir(parents=True)
    (folder / "refs").write_text("in the way")

    update_main_ref(folder, NEW, own)

    assert (folder / "refs/main").read_bytes() == NEW.encode()
