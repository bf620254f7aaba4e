"""OCI image layouts (image-layout.md of the OCI image specification), as a folder or as a tar archive.

Both are written in one pass with the memory of one chunk. The name of a blob is its sha256, which is known after its
last byte: a folder renames the blob then, and an archive goes back to write the blob's header. So an archive must be a
file, never a pipe.

A layout appears under its name when it is complete and on disk. A failure removes the temporary file or folder beside
it; a killed process leaves it.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

from cache_warmer.archive import tar
from model_cache.file_io import replacement, sync_folder, temporary_name

Write = Callable[[bytes], object]

_BLOBS: Final = "blobs/sha256"
# Mode of new folders, before the umask is applied.
_FOLDER_MODE: Final = 0o777


class Layout(ABC):
    """A layout that is being written."""

    def add_blob(self, size: int, fill: Callable[[Write], object]) -> str:
        """Add a blob and return its sha256.

        Args:
            size: its bytes.
            fill: called with the function that writes the next bytes.

        Raises:
            OSError: it cannot be written.
        """
        digest = hashlib.sha256()
        with self._open(size) as out:

            def write(chunk: bytes) -> None:
                digest.update(chunk)
                out.write(chunk)

            fill(write)
        self._name(size, digest.hexdigest())
        return digest.hexdigest()

    @abstractmethod
    def add_file(self, name: str, content: bytes) -> None:
        """Add one of the small files beside the blobs."""

    @abstractmethod
    def _open(self, size: int) -> AbstractContextManager[BinaryIO]:
        """Return the stream for the next blob."""

    @abstractmethod
    def _name(self, size: int, digest: str) -> None:
        """Give the blob that was written its name."""


@contextlib.contextmanager
def layout_folder(path: Path) -> Iterator[Layout]:
    """Yield a layout that becomes the folder `path`, which must not exist or be empty, when the block ends.

    Raises:
        OSError: something cannot be written; errno is ENOTEMPTY if the folder has files.
    """
    if path.is_dir() and any(path.iterdir()):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
    temporary = temporary_name(path)
    try:
        (temporary / _BLOBS).mkdir(parents=True, mode=_FOLDER_MODE)
        yield _FolderLayout(temporary)
        for folder in (temporary / _BLOBS, temporary / "blobs", temporary):
            sync_folder(folder)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def layout_archive(path: Path) -> Iterator[Layout]:
    """Yield a layout that becomes the tar archive `path` when the block ends.

    Raises:
        OSError: something cannot be written.
    """
    with replacement(path) as file:
        file.write(tar.folder_header("blobs") + tar.folder_header(_BLOBS))
        yield _ArchiveLayout(file)
        file.write(tar.END)


class _FolderLayout(Layout):
    """Writes each blob to a file, which is renamed when its digest is known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = folder / _BLOBS / "next"

    def add_file(self, name: str, content: bytes) -> None:
        with replacement(self._folder / name) as file:
            file.write(content)

    @contextlib.contextmanager
    def _open(self, size: int) -> Iterator[BinaryIO]:
        with self._next.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())

    def _name(self, size: int, digest: str) -> None:
        os.replace(self._next, self._next.with_name(digest))


class _ArchiveLayout(Layout):
    """Writes each blob behind a header without its name, and goes back when its digest is known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = 0
        self._digests: set[str] = set()

    def add_file(self, name: str, content: bytes) -> None:
        self._file.write(tar.header(name, len(content)) + content + tar.padding(len(content)))

    def _open(self, size: int) -> AbstractContextManager[BinaryIO]:
        self._start = self._file.tell()
        self._file.write(_blob_header("0" * 64, size))
        return contextlib.nullcontext(self._file)

    def _name(self, size: int, digest: str) -> None:
        if digest in self._digests:  # two equal layers are one blob
            self._file.seek(self._start)
            self._file.truncate()
            return
        self._digests.add(digest)
        self._file.write(tar.padding(size))
        end = self._file.tell()
        self._file.seek(self._start)
        self._file.write(_blob_header(digest, size))
        self._file.seek(end)


def _blob_header(digest: str, size: int) -> bytes:
    """Return the header of a blob, whose length does not depend on the digest."""
    return tar.header(f"{_BLOBS}/{digest}", size)
