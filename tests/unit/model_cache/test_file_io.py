"""Bounded reads of files that others wrote, and replacement by rename."""

import errno
import os
import stat
from pathlib import Path

import pytest

from model_cache.file_io import read_small_file, replacement, take_over_mode


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"x" * 100)
    assert read_small_file(path, 100) == b"x" * 100
    assert read_small_file(str(path)) == b"x" * 100


def test_a_file_above_its_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: reading it whole would need a terabyte
    with pytest.raises(OSError, match="larger than 1000 bytes") as caught:
        read_small_file(path, 1000)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have these")
def test_a_pipe_or_device_is_refused_without_blocking(tmp_path: Path) -> None:
    pipe = tmp_path / "record.json"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_small_file(path)


def test_a_folder_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_small_file(tmp_path)


def test_a_link_is_followed_to_a_regular_file_only(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert read_small_file(tmp_path / "link") == b"content"
    with pytest.raises(OSError, match="not a regular file"):
        read_small_file(tmp_path / "zero")


def test_a_replacement_appears_when_its_block_ends(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder/file"
    path.write_bytes(b"former")
    with replacement(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"former"
    assert path.read_bytes() == b"new"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_replacement_that_fails_leaves_the_former_file_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder/file"
    path.write_bytes(b"former")
    with pytest.raises(TypeError), replacement(path) as file:
        file.writelines([b"half", "no bytes"])  # type: ignore[list-item]  # what fails in the middle
    assert path.read_bytes() == b"former"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_replacement_takes_over_the_mode_of_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"former")
    path.chmod(0o640)
    with replacement(path, prepare=lambda descriptor: take_over_mode(path, descriptor)) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
