"""Content hashes: sha256 for manifests and big files, git's sha1 for the small files of a repository.

Both are computed in one pass over the content, because reading it costs more than the hash of a small file.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cache_warmer.transfer.download import ExpectedContent
from model_cache.file_io import open_regular_file

# Bytes per read: large enough for the full speed of a disk, small enough to stop soon and to stay below 150 MB in all.
CHUNK_BYTES: Final = 1 << 20


class ContentHash:
    """Running sha256, and git's sha1 where the size is known: git hashes the size before the first byte."""

    def __init__(self, size: int | None) -> None:
        self._sha256 = hashlib.sha256()
        # git names blobs by sha1; it guards against damage here, not against an attacker
        self._git = None if size is None else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def update(self, chunk: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._sha256.update(chunk)
        if self._git is not None:
            self._git.update(chunk)

    def sha256(self) -> str:
        """Return the sha256 so far, in lower-case hex."""
        return self._sha256.hexdigest()

    def git_sha1(self) -> str | None:
        """Return git's sha1 so far, in lower-case hex; None if the size was not known."""
        return self._git.hexdigest() if self._git is not None else None


def hash_file(path: Path, size: int, progress: Callable[[int], None] = lambda _: None) -> tuple[str, str]:
    """Return the sha256 and git's sha1 of a file.

    Args:
        path: the file.
        size: its size in bytes, which git's sha1 begins with.
        progress: called with the number of bytes of each chunk.

    Raises:
        OSError: the file cannot be read.
    """
    content = ContentHash(size)
    with open_regular_file(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            content.update(chunk)
            progress(len(chunk))
    git_sha1 = content.git_sha1()
    assert git_sha1 is not None  # the size was given
    return content.sha256(), git_sha1


def describe_mismatch(expected: ExpectedContent, size: int, sha256: str, git_sha1: str | None) -> str:
    """Return how a content differs from what was expected, with both values; empty if it does not differ."""
    if expected.bytes is not None and size != expected.bytes:
        return f"{size} bytes instead of {expected.bytes}"
    if expected.sha256 is not None and sha256 != expected.sha256:
        return f"sha256 {sha256} instead of {expected.sha256}"
    if expected.git_sha1 is not None and git_sha1 is not None and git_sha1 != expected.git_sha1:
        return f"git sha1 {git_sha1} instead of {expected.git_sha1}"
    return ""
