"""Both hashes of a file, and how a content differs from what was expected."""

from pathlib import Path

import pytest

from cache_warmer.transfer.download import ExpectedContent
from cache_warmer.transfer.hashing import describe_mismatch, hash_file


def test_hashes_are_those_of_sha256sum_and_git(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello\n")

    sha256, git_sha1 = hash_file(tmp_path / "file", 6)

    assert sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert git_sha1 == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.mark.parametrize(
    ("expected", "mismatch"),
    [
        (ExpectedContent(6, "a", "b", "hub"), ""),
        (ExpectedContent(None, None, None, "hub"), ""),
        (ExpectedContent(7, "a", "b", "hub"), "6 bytes instead of 7"),
        (ExpectedContent(6, "x", "b", "hub"), "sha256 a instead of x"),
        (ExpectedContent(6, None, "x", "hub"), "git sha1 b instead of x"),
    ],
)
def test_a_mismatch_names_both_values(expected: ExpectedContent, mismatch: str) -> None:
    assert describe_mismatch(expected, 6, "a", "b") == mismatch
