"""Replaces a user's own file in one step: who reads it sees the old text or the new one, in the old file's mode."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from cache_warmer.errors import NoPermission

_CANNOT = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
)
"""EBUSY: a file that is itself a mount, as in a container, cannot be renamed over."""


def replace_file(path: Path, content: bytes) -> bool:
    """Write a file by rename, synced; a link is followed. Returns False if it has that content already.

    Raises ``NoPermission``, or ``OSError`` (a full disk).
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_file() and target.read_bytes() == content:
            return False
        _write(target, content)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        raise NoPermission(
            f"{path} cannot be written: {error.strerror}",
            f"let this user write to {target.parent}, or write the pinned catalog elsewhere with --output FILE",
        ) from error
    return True


def _write(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666
        )
        with os.fdopen(descriptor, "wb") as file:
            _take_over(target, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _take_over(target: Path, descriptor: int) -> None:
    """Give the new file the mode, and if we may the owner, of the one it replaces."""
    with contextlib.suppress(OSError):
        former = target.stat()
        os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
        os.fchown(descriptor, former.st_uid, former.st_gid)
