"""Files are linked where that is safe, else copied; a file that changed meanwhile is refused, and nothing is left."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.adopt.layouts import FileHint
from cache_warmer.adopt.match import FileMatch
from cache_warmer.adopt.placement import Method, expected_method, is_linkable, readers_of, stage, staging_path
from cache_warmer.adopt.scan import Candidate
from cache_warmer.errors import ContentMismatch
from cache_warmer.transfer.staging import private_files
from tests.unit.cache_warmer.adopt.test_match import CONTENT, candidate, download, find

# One of them is on another file system than the folder of the test.
DISKS: Final = (Path("/dev/shm"), Path("/var/tmp"), Path(__file__).parent)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "blobs").mkdir()
    return staging_path(tmp_path / "blobs/abc.incomplete")


def matched(folder: Path, mode: int = 0o644) -> FileMatch:
    one = candidate(folder, "model.bin", CONTENT)
    one.path.chmod(mode)
    found = find(download(folder), one)
    assert isinstance(found, FileMatch)
    return found


def test_a_file_of_the_same_disk_is_linked(theirs: Path, target: Path) -> None:
    match = matched(theirs)
    assert expected_method(match, target.parent / "later/blobs") is Method.LINK
    assert stage(match, target) is Method.LINK
    assert target.samefile(match.candidate.path)


@pytest.mark.parametrize("mode", [0o600, 0o646, 0o444 | 0o002])
def test_a_file_with_another_mode_is_not_linked(theirs: Path, target: Path, mode: int) -> None:
    match = matched(theirs, mode)
    assert expected_method(match, target.parent) is not Method.LINK
    assert stage(match, target) is not Method.LINK
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (CONTENT, 0o644)
    assert match.candidate.path.stat().st_mode & 0o777 == mode


def test_in_a_host_cache_of_this_user_a_private_file_is_linked(theirs: Path, target: Path) -> None:
    match, readers = matched(theirs, 0o600), readers_of(target.parent / "later", on_host=True)
    assert expected_method(match, target.parent, readers) is Method.LINK
    assert stage(match, target, readers) is Method.LINK
    target.parent.chmod(0o2775)
    assert readers_of(target.parent, on_host=True) == readers_of(target.parent, on_host=False) == 0o444


@pytest.fixture
def other_disk(tmp_path: Path) -> Path:
    for folder in DISKS:
        if folder.is_dir() and folder.stat().st_dev != tmp_path.stat().st_dev and os.access(folder, os.W_OK):
            return folder
    pytest.skip("no second file system")


def test_a_file_of_another_disk_is_copied(theirs: Path, other_disk: Path) -> None:
    match, target = matched(theirs), other_disk / f"adopt-{os.getpid()}.incomplete"
    try:
        assert expected_method(match, other_disk) is Method.COPY
        assert stage(match, target) is Method.COPY
        assert target.read_bytes() == CONTENT
    finally:
        target.unlink(missing_ok=True)


def test_a_member_of_an_archive_is_copied(theirs: Path, target: Path) -> None:
    with tarfile.open(theirs / "x.tar", "w") as archive:
        info = tarfile.TarInfo("model.bin")
        info.size = len(CONTENT)
        archive.addfile(info, io.BytesIO(CONTENT))
    member = Candidate(theirs / "x.tar", len(CONTENT), FileHint("model.bin"), None, "model.bin")
    match = find(download(theirs), member)
    assert isinstance(match, FileMatch)
    assert (expected_method(match, target.parent), stage(match, target)) == (Method.COPY, Method.COPY)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("mode", [0o644, 0o600])
@pytest.mark.parametrize("change", [b"xxx weights", b"the weights and more", b""])
def test_a_file_that_changed_meanwhile_is_refused(
    theirs: Path, target: Path, mode: int, change: bytes
) -> None:
    match = matched(theirs, mode)
    match.candidate.path.write_bytes(change)
    os.utime(match.candidate.path, ns=(1, 1))
    with pytest.raises(ContentMismatch, match="was changed while it was taken over"):
        stage(match, target)
    assert list(target.parent.iterdir()) == []


def test_a_file_that_vanished_leaves_nothing(theirs: Path, target: Path) -> None:
    match = replace(matched(theirs), state=None)
    match.candidate.path.unlink()
    with pytest.raises(FileNotFoundError):
        stage(match, target)
    assert list(target.parent.iterdir()) == []


def test_no_download_continues_a_staged_file(theirs: Path, target: Path) -> None:
    """It would write into the source through the link."""
    stage(matched(theirs), target)
    assert target.name.endswith(".incomplete")
    assert private_files(target.with_name("abc.incomplete")) == []


def test_on_windows_where_every_mode_looks_open_a_file_is_linked(theirs: Path) -> None:
    state = matched(theirs, 0o666).candidate.path.stat()
    assert not is_linkable(state, 0o444, "posix")
    assert is_linkable(state, 0o444, "nt")
