"""What the file system below a place says: its free bytes and inodes, and why a write to it failed."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.errors import NoPermission, NoSpace, VolumeError, VolumeUnsuitable

MARGIN_BYTES = 4 << 20
"""Kept free beside what is fetched, with 2 % of it: records, folders, and a file system's own growth."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})
_MAKE_ROOM = "free some space, enlarge the volume (cache.size in a cluster), or choose another with --cache"


@dataclass(frozen=True, slots=True)
class Free:
    """What a file system has left for this user. ``inodes`` None: it does not count them."""

    device: int
    bytes: int
    inodes: int | None


FreeOf = Callable[[Path], Free]


def free_of(path: Path) -> Free:
    """Return what is free where that path is, or would be. Raises ``OSError``."""
    there = nearest_folder(path)
    if not hasattr(os, "statvfs"):  # Windows
        import shutil

        return Free(there.stat().st_dev, shutil.disk_usage(there).free, None)
    state = os.statvfs(there)
    inodes = state.f_favail if state.f_files else None  # btrfs and others report 0 of 0
    return Free(there.stat().st_dev, state.f_bavail * state.f_frsize, inodes)


def nearest_folder(path: Path) -> Path:
    """Return the path itself or the nearest of its parents that exists."""
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def with_margin(count: int) -> int:
    """Return the bytes that must be free for so many to be written; none for none."""
    return count + count // 50 + MARGIN_BYTES if count else 0


def demand_space(folder: Path, count: int, inodes: int, free_here: FreeOf = free_of) -> None:
    """Raise ``NoSpace`` unless so many bytes and inodes are free there."""
    free = free_here(folder)
    if free.bytes < count:
        raise NoSpace(f"{folder}: {count} bytes are needed, {free.bytes} are free", _MAKE_ROOM)
    if free.inodes is not None and free.inodes < inodes:
        raise NoSpace(f"{folder}: {inodes} inodes are needed, {free.inodes} are free", _MAKE_ROOM)


def no_space(message: str) -> NoSpace:
    """Return the error with its remedy."""
    return NoSpace(message, _MAKE_ROOM)


def of_os_error(error: OSError, place: Path) -> VolumeError:
    """Return what a failed system call below a place says about it."""
    where = error.filename if isinstance(error.filename, str) else str(place)
    said = error.strerror or str(error)
    if error.errno in _FULL:
        return no_space(f"{where}: {said} (bytes or inodes of the volume that holds {place} ran out)")
    if error.errno in _DENIED:
        return NoPermission(f"{where} cannot be written: {said}", write_remedy(place, error))
    return VolumeUnsuitable(f"{where}: {said}", f"let {place} be a folder on a volume with POSIX semantics")


def write_remedy(place: Path, error: OSError) -> str:
    """Return what helps a user who may not write there."""
    if error.errno == errno.EROFS:
        return "mount the volume read-write for the warmer; only the workers mount it read-only"
    if error.errno == errno.EIO:
        return "look at the disk below the volume (input/output error), then run `cache-warmer warm` again"
    there = nearest_folder(place)
    uid = os.geteuid() if hasattr(os, "geteuid") else "this user"
    state = there.stat()
    return (
        f"{there} belongs to {state.st_uid}:{state.st_gid} with mode {state.st_mode & 0o7777:04o}, the warmer runs "
        f"as uid {uid}: chown it, run as its owner, or in a cluster set fsGroup (some RWX storage classes ignore "
        "it: then chown the volume's root once)"
    )
