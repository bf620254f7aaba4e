"""Reading small files that others may have written, and replacing files that others may be reading.

A cache is shared: another pod, another user or another program may put anything under the names that we read. So a
read is bounded: it accepts regular files only, never blocks on a FIFO or a device, and refuses a file above its
limit instead of filling the memory. It opens first and looks at the open file, so that nothing can be swapped in
between.

A write never touches a published file: the content grows in a temporary file beside it, is synced, and takes over
the name by rename. Readers see the former content or the new one. A failure removes the temporary file and leaves
the former content.

Both raise `OSError`, which the callers turn into an error with a remedy: they know what the file is for.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

# Far above every record of ours: a manifest of 10,000 files has 2 MB.
MAX_BYTES: Final = 64 * 2**20
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


def read_small_file(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        OSError: it cannot be read; EISDIR or EINVAL if it is not a regular file, EFBIG if it is larger.
    """
    descriptor = os.open(path, _READ_FLAGS)
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = bytearray()
        while len(content) <= limit and (chunk := file.read(limit + 1 - len(content))):
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
    """Yield a new file that takes the place of `path` when the block ends, and disappears if it raises.

    Args:
        path: the name to take over. A link is replaced, not followed.
        temporary: where the file grows, in the same folder; default: a name that nobody else uses.
        mode: of the new file, less the umask.
        prepare: called with the open file's descriptor before anything is written, for its mode and owner.
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
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def temporary_name(path: Path) -> Path:
    """Return a name beside `path` that nobody else uses: two pods on one volume may have the same process id."""
    return path.with_name(f".{path.name[:40]}.{os.urandom(6).hex()}.tmp")


def sync_folder(path: Path) -> None:
    """Put the names in a folder on disk. Raises `OSError`."""
    if os.name == "posix":  # Windows cannot open a folder, and syncs names by itself
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def take_over_mode(target: Path, descriptor: int) -> None:
    """Give an open file the mode, and where permitted the owner, of the file at `target`, if there is one."""
    with contextlib.suppress(OSError):
        former = target.stat()
        os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
        os.fchown(descriptor, former.st_uid, former.st_gid)
