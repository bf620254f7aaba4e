"""A file is used if its content is the expected one, whatever it is called."""

import hashlib
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.adopt.layouts import FileHint, FoundModel, Layout
from cache_warmer.adopt.match import FileMatch, FileMiss, Matcher
from cache_warmer.adopt.scan import Candidate, Findings
from cache_warmer.transfer.download import Download, ExpectedContent
from cache_warmer.transfer.hashing import ContentHash
from model_cache.containment import CacheBoundary

CONTENT: Final = b"the weights"


def download(tmp_path: Path, content: bytes = CONTENT, *, git: bool = False, sized: bool = True) -> Download:
    hashes = ContentHash(len(content))
    hashes.update(content)
    sha256, sha1 = (None, hashes.git_sha1()) if git else (hashes.sha256(), None)
    expected = ExpectedContent(len(content) if sized else None, sha256, sha1, "lock")
    staging = tmp_path / f"blobs/{sha256 or sha1}.incomplete"
    return Download("sub/model.bin", "", {}, expected, staging, CacheBoundary(tmp_path), "x")


def candidate(
    folder: Path, name: str, content: bytes, layout: Layout = Layout.MODEL_FOLDER, revision: str = ""
) -> Candidate:
    path = folder / name.replace("/", "-")
    path.write_bytes(content)
    return Candidate(
        path, len(content), FileHint(name, revision, "org/x"), FoundModel(layout, folder, "org_x")
    )


def find(one: Download, *candidates: Candidate) -> FileMatch | FileMiss:
    return Matcher(Findings(candidates=list(candidates))).find(one, "org/x")


@pytest.mark.parametrize("git", [True, False])
def test_the_content_decides_and_not_the_name(tmp_path: Path, git: bool) -> None:
    right, wrong = candidate(tmp_path, "other", CONTENT), candidate(tmp_path, "sub/model.bin", b"xxx weights")
    found = find(download(tmp_path, git=git), wrong, right)
    assert isinstance(found, FileMatch)
    assert (found.candidate, found.sha256) == (right, hashlib.sha256(CONTENT).hexdigest())
    assert found.verified == ("git sha1" if git else "sha256")


def test_a_file_without_any_known_hash_is_not_used(tmp_path: Path) -> None:
    one = download(tmp_path)
    unknown = Download(
        one.name, "", {}, ExpectedContent(11, None, None, "lock"), one.staging, one.boundary, ""
    )
    assert isinstance(find(unknown, candidate(tmp_path, "sub/model.bin", CONTENT)), FileMiss)


def test_a_wheel_of_unknown_size_is_found_by_its_name(tmp_path: Path) -> None:
    one = download(tmp_path, sized=False)
    assert isinstance(find(one, candidate(tmp_path, "sub/model.bin", CONTENT)), FileMatch)
    assert isinstance(find(one, candidate(tmp_path, "other", CONTENT)), FileMiss)


@pytest.mark.parametrize(
    ("content", "layout", "revision", "detail"),
    [
        (b"xxx weights", Layout.MODEL_FOLDER, "", "is another file: sha256"),
        (b"the", Layout.LOCAL_DIR, "", "3 bytes instead of 11: half a download"),
        (b"the weights and more", Layout.MODEL_FOLDER, "", "is another file: 20 bytes instead of 11"),
        (b"xxx weights", Layout.HUB_CACHE, "d" * 40, "is of another revision, dddddddddddd"),
    ],
)
def test_why_a_file_is_not_used(
    tmp_path: Path, content: bytes, layout: Layout, revision: str, detail: str
) -> None:
    found = find(download(tmp_path), candidate(tmp_path, "SUB/Model.bin", content, layout, revision))
    assert isinstance(found, FileMiss)
    assert detail in found.detail
    assert found.is_wrong


def test_half_a_download_is_known_by_the_hash_in_its_name(tmp_path: Path) -> None:
    one = download(tmp_path)
    half = candidate(tmp_path, f"abc.{one.expected.sha256}.incomplete", b"the ")
    found = find(one, half)
    assert isinstance(found, FileMiss)
    assert "is half a download: 4 of 11 bytes" in found.detail


def test_an_incomplete_file_is_never_used(tmp_path: Path) -> None:
    assert isinstance(find(download(tmp_path), candidate(tmp_path, "x.incomplete", CONTENT)), FileMiss)


def test_files_of_other_models_explain_nothing(tmp_path: Path) -> None:
    other = candidate(tmp_path, "sub/model.bin", b"xxx weights")
    foreign = Candidate(other.path, other.bytes, FileHint("sub/model.bin", "", "org/other"), None)
    assert find(download(tmp_path), foreign) == FileMiss(download(tmp_path))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    one = candidate(tmp_path, "sub/model.bin", CONTENT)
    one.path.unlink()
    found = find(download(tmp_path), one)
    assert isinstance(found, FileMiss)
    assert found.is_unreadable
    assert "cannot be read: No such file" in found.detail
