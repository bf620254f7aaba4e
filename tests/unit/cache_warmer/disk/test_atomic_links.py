"""Relative links that are replaced in one step."""

import errno
import os
from pathlib import Path

import pytest

from cache_warmer.disk import atomic
from model_cache.containment import CacheBoundary


def test_a_link_is_relative_from_any_depth(tmp_path: Path) -> None:
    target = tmp_path / "blobs" / "x"
    target.parent.mkdir()
    target.write_text("content")
    link = tmp_path / "snapshots/commit/sub/file"

    assert atomic.replace_link(link, target, CacheBoundary(tmp_path))

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

    atomic.replace_link(link, folder / "one", CacheBoundary(tmp_path))
    atomic.replace_link(link, folder / "two", CacheBoundary(tmp_path))

    assert link.read_text() == "two"
    assert sorted(path.name for path in folder.iterdir()) == ["link", "one", "two"]


def test_a_file_system_without_links_is_a_result_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)

    assert not atomic.replace_link(tmp_path / "link", tmp_path / "target", CacheBoundary(tmp_path))


def test_on_windows_a_link_to_a_folder_is_removed_before_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file"):
        (tmp_path / f"to-{name}").symlink_to(name)
        atomic.remove_folder_link(tmp_path / f"to-{name}", "linux")
        assert (tmp_path / f"to-{name}").is_symlink()
        atomic.remove_folder_link(tmp_path / f"to-{name}", "win32")

    assert not (tmp_path / "to-folder").is_symlink()
    assert (tmp_path / "to-file").is_symlink()
    atomic.remove_folder_link(tmp_path / "folder", "win32")
    assert (tmp_path / "folder").is_dir()
