"""Bounded reads of small files that others may have written, and atomic replacement of files that others may read.

A cache is shared: another pod, user or program may put anything under the names that we read. A read therefore accepts
regular files only, never blocks on a FIFO or a device, and refuses a file above its limit instead of filling the
memory. It opens the file first and inspects the open file, so that the file cannot be exchanged in between.

A write never changes a published file. The content is written to a temporary file beside it, synced, and renamed.
Readers see the former content or the new one. A failure removes the temporary file and leaves the former content.
Windows renames neither an open file nor over one: `rename` waits there until a reader or a virus scanner has closed it.

Both raise `OSError`. The callers know the purpose of the file, and turn it into an error with a remedy.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

# Default limit of a read, in bytes. Far above every record of ours: a manifest of 10,000 files has 2 MB.
MAX_BYTES: Final = 16 * 2**20

_CHUNK_BYTES: Final = 2**20
_READ_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_WRITE_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


# Errors of Windows while another program has a file open (sharing violation, lock violation) or mapped into memory.
WINDOWS_IN_USE: Final = frozenset({32, 33, 1224})
# The error for a rename over such a file, but also for one that is not permitted.
WINDOWS_DENIED: Final = 5
# Seconds between tries to rename such a file: 1.6 in all, longer than a virus scanner takes for a new file.
_RENAME_SECONDS: Final = (0.02, 0.08, 0.2, 0.5, 0.8)


def open_regular_file(path: str | os.PathLike[str]) -> FileIO:
    """Open a file for reading, without a buffer. A link is followed; a FIFO or a device is not waited for.

    Raises:
        OSError: the file cannot be opened; errno is EISDIR for a folder, EINVAL for another file that is not regular.
    """
    file = FileIO(os.open(path, _READ_FLAGS))
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return file
    file.close()
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_small_file(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        OSError: the file cannot be read; errno is EISDIR for a folder, EINVAL for another file that is not regular,
            EFBIG for a file above the limit.
    """
    with open_regular_file(path) as file:
        content = bytearray()
        while len(content) <= limit and (chunk := file.read(min(limit + 1 - len(content), _CHUNK_BYTES))):
            content += chunk
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return bytes(content)


@contextlib.contextmanager
def replacement(
    path: Path,
    *,
    temporary: Path | None = None,
    mode: int = 0o666,
    prepare: Callable[[int], None] | None = None,
    sync: bool = True,
) -> Iterator[BinaryIO]:
    """Yield a new file that replaces `path` when the block ends, and is removed if the block raises.

    Args:
        path: the file to replace. A link is replaced, not followed.
        temporary: path of the temporary file, in the same folder; default: a unique name.
        mode: permissions of the new file, before the umask is applied.
        prepare: called with the open file's descriptor before anything is written, to set mode and owner.
        sync: whether content and name must be on disk before this returns.

    Raises:
        OSError: the file cannot be created, written, synced or renamed.
    """
    temporary = temporary or temporary_name(path)
    try:
        descriptor = os.open(temporary, _WRITE_FLAGS, mode)
        with open(descriptor, "wb") as file:
            if prepare is not None:
                prepare(descriptor)
            yield file
            file.flush()
            if sync:
                os.fsync(descriptor)
        rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def rename(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    replace: Callable[[str | os.PathLike[str], str | os.PathLike[str]], None] = os.replace,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Rename a file or a folder, and replace a file of that name; on Windows, try again while one of them is open.

    Args:
        source: what to rename.
        target: its new name.
        replace: renames once.
        sleep: waits so many seconds.

    Raises:
        OSError: of the last try.
    """
    for seconds in _RENAME_SECONDS:
        try:
            return replace(source, target)
        except OSError as error:
            if getattr(error, "winerror", None) not in WINDOWS_IN_USE | {WINDOWS_DENIED}:
                raise
            sleep(seconds)
    return replace(source, target)


def temporary_name(path: Path) -> Path:
    """Return a unique name beside `path`.

    It is random, because two pods that share a volume may have the same process id.
    """
    return path.with_name(f".{path.name[:40]}.{os.urandom(6).hex()}.tmp")


def sync_folder(path: Path) -> None:
    """Write the names in a folder to disk.

    Raises:
        OSError: the folder cannot be opened or synced.
    """
    if os.name == "posix":  # Windows cannot open a folder, and syncs names by itself
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def take_over_mode(target: Path, descriptor: int) -> None:
    """Give an open file the mode and, where permitted, the owner of the file at `target`, if that exists.

    Nothing is done where the system has no such modes and owners (Windows).
    """
    with contextlib.suppress(OSError):
        former = target.stat()
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
        if hasattr(os, "fchown"):
            os.fchown(descriptor, former.st_uid, former.st_gid)
