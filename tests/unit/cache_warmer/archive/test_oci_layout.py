"""Layouts as folders and archives: what fails leaves nothing, equal blobs are one."""

import errno
import hashlib
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.archive.oci_layout import Layout, Write, layout_archive, layout_folder

MAKERS: Final = pytest.mark.parametrize("make", [layout_folder, layout_archive])
Make = Callable[[Path], AbstractContextManager[Layout]]


def _fill(content: bytes, write: Write) -> None:
    write(content)


def fill_the_disk(write: Write) -> None:
    write(b"the beginning")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def write_and_fail(make: Make, path: Path, failure: BaseException) -> None:
    with make(path) as layout:
        layout.add_blob(3, lambda write: write(b"one"))
        assert not path.exists(), "not before it is complete"
        raise failure


@MAKERS
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_layout_that_fails_leaves_nothing(make: Make, failure: BaseException, folder: Path) -> None:
    with pytest.raises(type(failure)):
        write_and_fail(make, folder / "image.tar", failure)
    assert list(folder.iterdir()) == []


@MAKERS
def test_a_disk_that_fills_in_a_blob_leaves_nothing(make: Make, folder: Path) -> None:
    with pytest.raises(OSError, match="No space left"), make(folder / "image.tar") as layout:
        layout.add_blob(1000, fill_the_disk)
    assert list(folder.iterdir()) == []


def test_a_folder_with_files_is_not_replaced(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(OSError, match="not empty"), layout_folder(folder):
        pytest.fail("it was opened")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_an_archive_has_the_digest_of_each_blob_and_equal_blobs_once(tmp_path: Path) -> None:
    with layout_archive(tmp_path / "image.tar") as layout:
        digests = [layout.add_blob(len(body), partial(_fill, body)) for body in (b"a" * 700, b"b", b"b")]
        layout.add_file("oci-layout", b"{}")
    assert digests[1] == digests[2] == hashlib.sha256(b"b").hexdigest()
    with tarfile.open(tmp_path / "image.tar") as archive:
        assert archive.getnames() == [
            "blobs", "blobs/sha256", f"blobs/sha256/{digests[0]}", f"blobs/sha256/{digests[1]}", "oci-layout",
        ]  # fmt: skip
        member = archive.extractfile(f"blobs/sha256/{digests[0]}")
        assert member is not None
        assert member.read() == b"a" * 700


@pytest.mark.parametrize("size", [8 * 2**30, 20 * 2**30])
def test_a_blob_above_eight_gigabytes_has_a_header_that_fits(size: int, tmp_path: Path) -> None:
    # the size in the header is what counts; a test does not write so much
    path = tmp_path / "image.tar"
    with layout_archive(path) as layout:
        layout.add_blob(size, lambda write: write(b"x"))
    with tarfile.open(path) as archive:
        member = next(one for one in archive if one.isfile())
    assert (member.size, member.name) == (size, f"blobs/sha256/{hashlib.sha256(b'x').hexdigest()}")
