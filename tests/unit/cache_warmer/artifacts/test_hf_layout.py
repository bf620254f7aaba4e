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
