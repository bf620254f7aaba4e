"""The names that move: links, references, the current package."""

import errno
import os
from pathlib import Path

import pytest

from cache_warmer.artifacts.hf_layout import point_reference
from cache_warmer.artifacts.package_links import point_package
from cache_warmer.disk import atomic
from model_cache.places import resolve_places

OLD, NEW, FOREIGN = "a" * 40, "b" * 40, "c" * 40


def test_a_link_is_relative_from_any_depth(tmp_path: Path) -> None:
    target = tmp_path / "blobs" / "x"
    target.parent.mkdir()
    target.write_text("content")
    link = tmp_path / "snapshots/commit/sub/file"

    assert atomic.place_link(link, target)

    assert os.readlink(link) == "../../../blobs/x"
    assert link.read_text() == "content"
    assert atomic.points_at(link, target)


def test_a_link_replaces_a_link_or_a_file_in_one_step(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).write_text(name)
    link = folder / "link"
    link.write_text("a file")

    atomic.place_link(link, folder / "one")
    atomic.place_link(link, folder / "two")

    assert link.read_text() == "two"
    assert sorted(path.name for path in folder.iterdir()) == ["link", "one", "two"]


def test_a_file_system_without_links_is_said_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)

    assert not atomic.place_link(tmp_path / "link", tmp_path / "target")


def test_a_reference_has_no_line_break_and_moves_with_us(tmp_path: Path) -> None:
    places = resolve_places("host", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    folder = tmp_path / "models--org--name"

    point_reference(folder, OLD, places)
    point_reference(folder, NEW, places)
    point_reference(folder, OLD, places)

    assert (folder / "refs/main").read_bytes() == OLD.encode()


def test_a_foreign_reference_stays_on_a_host_and_moves_in_a_cache_of_ours(tmp_path: Path) -> None:
    host = resolve_places("host", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    folder = tmp_path / "models--org--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(FOREIGN)

    point_reference(folder, NEW, host)
    assert (folder / "refs/main").read_text() == FOREIGN
    point_reference(folder, NEW, own)
    assert (folder / "refs/main").read_text() == NEW


@pytest.mark.parametrize("note", ["", "[", '{"a": 1}', "[1]"])
def test_a_damaged_note_makes_a_reference_foreign_not_the_run_fail(tmp_path: Path, note: str) -> None:
    host = resolve_places("host", {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    folder = tmp_path / "models--org--name"
    point_reference(folder, OLD, host)
    (host.own.path / "refs/models--org--name.json").write_text(note)

    point_reference(folder, NEW, host)

    assert (folder / "refs/main").read_text() == OLD


def tree(place: Path, version: str) -> Path:
    folder = place / ".packages" / f"de_tiny-{version}-12345678"
    for name, content in [
        ("de_tiny/meta.json", version),
        (f"de_tiny-{version}.dist-info/RECORD", version),
    ]:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
    return folder


def test_the_current_package_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    point_package(tmp_path, tree(tmp_path, "1.0"), "de_tiny")
    point_package(tmp_path, tree(tmp_path, "2.0"), "de_tiny")

    assert (tmp_path / "de_tiny/meta.json").read_text() == "2.0"
    assert [path.name for path in tmp_path.glob("*.dist-info")] == ["de_tiny-2.0.dist-info"]
    assert (tmp_path / ".packages/de_tiny-1.0-12345678/de_tiny/meta.json").read_text() == "1.0"


def test_without_links_the_current_package_is_a_copy_that_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "place_link", lambda *_: False)

    for version in ("1.0", "1.0", "2.0", "1.0"):
        folder = tmp_path / ".packages" / f"de_tiny-{version}-12345678"
        point_package(tmp_path, folder if folder.exists() else tree(tmp_path, version), "de_tiny")
        assert not (tmp_path / "de_tiny").is_symlink()
        assert (tmp_path / "de_tiny/meta.json").read_text() == version
        assert [path.name for path in tmp_path.glob("*.dist-info")] == [f"de_tiny-{version}.dist-info"]


def test_a_package_that_the_user_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "de_tiny").mkdir()
    (tmp_path / "de_tiny/meta.json").write_text("theirs")
    (tmp_path / "de_tiny-0.9.dist-info").mkdir()

    point_package(tmp_path, tree(tmp_path, "1.0"), "de_tiny")

    assert (tmp_path / "de_tiny/meta.json").read_text() == "theirs"
    assert (tmp_path / "de_tiny-0.9.dist-info").is_dir()
