"""Volumes below the cache: free space, the mount that a path lies on, and what a failed write means.

`volume_error` turns the `OSError` of any system call below the cache into one of our errors, with a remedy that depends
on where the cache lies: on a host (owner and mode of the blocking path) or on a volume of a cluster (fsGroup, the
mount). Volumes are named as they were mounted, because users know mount points, not device numbers.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cache_warmer.errors import NoPermission, NoSpace, VolumeError, VolumeUnavailable, VolumeUnsuitable
from model_cache.check.permissions import (
    Identity,
    blocking_path,
    current_user,
    owner_and_mode,
    permission_remedy,
)
from model_cache.file_io import WINDOWS_DENIED, WINDOWS_IN_USE, read_small_file
from model_cache.places import HOST, Places

_Result = TypeVar("_Result")
# Pauses before the second and the third call after a temporary failure.
_RETRY_SECONDS: Final = (0.2, 1.0)
# Bytes that stay free beside what is fetched, in addition to 2 % of it: for records, folders, and the file system's
# own growth.
MARGIN_BYTES: Final = 4 << 20
_MARGIN_DIVISOR: Final = 50
# Format: proc_pid_mountinfo(5). The limit in bytes suffices for some 50,000 mounts.
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MAX_MOUNTS_BYTES: Final = 16 << 20
_OCTAL_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_PERMITTED: Final = frozenset({errno.EACCES, errno.EPERM})
_DENIED: Final = _NOT_PERMITTED | {errno.EROFS, errno.EIO}
# What a file system cannot do, or a path of another shape than the cache needs.
_UNSUITABLE: Final = frozenset(
    getattr(errno, name)
    for name in (
        *(
            "ENOSYS",
            "ENOTSUP",
            "EOPNOTSUPP",
            "EINVAL",
            "EXDEV",
            "EMLINK",
            "EFBIG",
            "ELOOP",
            "ENAMETOOLONG",
            "EILSEQ",
        ),
        *("ENOTDIR", "EISDIR", "ENODEV", "ENXIO", "ENOTTY", "EOVERFLOW"),
    )
    if hasattr(errno, name)
)
_STALE: Final = frozenset(
    {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN}
)
_BUSY: Final = frozenset({errno.EBUSY, errno.ETXTBSY, errno.EAGAIN, errno.EINTR, errno.EDEADLK, errno.ENOLCK})
_CHANGED: Final = frozenset({errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY})
# Failures that another try can mend, with their remedies.
_UNAVAILABLE: Final = (
    (
        _STALE,
        "check the server of this volume and the network to it, then run the same command again: it resumes",
    ),
    (
        _BUSY,
        "another program uses this file: run the same command again, when that has ended if it fails again",
    ),
    (_CHANGED, "another program changed the cache meanwhile: run the same command again"),
    (
        frozenset({errno.EMFILE, errno.ENFILE}),
        "raise the limit of open files (`ulimit -n`), or end other programs, then run the same command again",
    ),
    (frozenset({errno.ENOMEM}), "give the warmer more memory, then run the same command again: it resumes"),
)
_CLOSE_FILE: Final = (
    "end the programs that use this model, such as a worker or a notebook, and run the same command again; a virus "
    "scanner may have it open as well"
)
_FREE_SPACE: Final = (
    "free some space, enlarge the volume (cache.size in a cluster), or choose another with --cache"
)


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Space that a file system has left for this user.

    Attributes:
        device: number of the file system.
        bytes: free bytes.
        inodes: free inodes; None if the file system does not count them.
    """

    device: int
    bytes: int
    inodes: int | None


MeasureFreeSpace = Callable[[Path], FreeSpace]


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: where, its kind (`nfs4`), and the device or server that holds it."""

    point: Path
    kind: str
    source: str

    def __str__(self) -> str:
        """Return `/cache, nfs4 of server:/export`."""
        of_source = f" of {self.source}" if self.source not in ("none", self.kind) else ""
        return f"{self.point}, {self.kind}{of_source}"


def measure_free_space(path: Path) -> FreeSpace:
    """Return the free space at a path, or where it would be created.

    Raises:
        OSError: the file system cannot be queried.
    """
    folder = nearest_folder(path)
    if not hasattr(os, "statvfs"):  # Windows
        return FreeSpace(folder.stat().st_dev, shutil.disk_usage(folder).free, None)
    state = os.statvfs(folder)
    inodes = state.f_favail if state.f_files else None  # btrfs and others report 0 of 0
    return FreeSpace(folder.stat().st_dev, state.f_bavail * state.f_frsize, inodes)


def nearest_folder(path: Path) -> Path:
    """Return the path itself or the nearest of its parents that exists."""
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path


def with_margin(count: int) -> int:
    """Return the bytes that must be free to write `count` bytes; 0 for 0."""
    return count + count // _MARGIN_DIVISOR + MARGIN_BYTES if count else 0


def require_free_space(
    folder: Path, count: int, inodes: int, free_space: MeasureFreeSpace = measure_free_space
) -> None:
    """Raise unless a folder has enough free space.

    Args:
        folder: where the files will be written; it must exist.
        count: bytes to write.
        inodes: files and folders to create.
        free_space: measures the free space.

    Raises:
        NoSpace: bytes or inodes do not suffice.
        OSError: the file system cannot be queried.
    """
    free = free_space(folder)
    if free.bytes < count:
        raise no_space_error(f"{folder}: {count} bytes are needed, {free.bytes} are free")
    if free.inodes is not None and free.inodes < inodes:
        raise no_space_error(f"{folder}: {inodes} inodes are needed, {free.inodes} are free")


def no_space_error(message: str) -> NoSpace:
    """Return the error with its remedy."""
    return NoSpace(message, _FREE_SPACE)


def volume_error(error: OSError, place: Path, *, on_host: bool = False) -> VolumeError:
    """Return what a failed system call means for the volume.

    Args:
        error: the error of the system call.
        place: the folder of the cache below which it failed.
        on_host: whether the cache lies in a user's home folder.
    """
    path = error.filename if isinstance(error.filename, str) else str(place)
    message = error.strerror or str(error)
    if _is_open_elsewhere(error):
        return VolumeUnavailable(f"{path}: another program has this file open ({message})", _CLOSE_FILE)
    if error.errno in _FULL:
        return no_space_error(f"{path}: {message} (bytes or inodes of the volume that holds {place} ran out)")
    if error.errno in _DENIED:
        if on_host and error.errno in _NOT_PERMITTED:
            return permission_error(Path(path))
        return _not_writable(path, place, error)
    if error.errno in _UNSUITABLE:
        return VolumeUnsuitable(
            f"{path}: {message}", f"let {place} be a folder on a volume with POSIX semantics"
        )
    for numbers, remedy in _UNAVAILABLE:
        if error.errno in numbers:
            return VolumeUnavailable(f"{path}: {message}{_on_volume(place)}", remedy)
    return VolumeUnavailable(
        f"{path}: {message}{_on_volume(place)}",
        "run the same command again; if it fails in the same way, look for the cause in the system's log",
    )


def _is_open_elsewhere(error: OSError) -> bool:
    """Return whether Windows refuses because a file is open; of a rename that it denies that is the usual cause."""
    code = getattr(error, "winerror", None)
    return code in WINDOWS_IN_USE or (code == WINDOWS_DENIED and bool(getattr(error, "filename2", None)))


def is_temporary(error: OSError) -> bool:
    """Return whether the same call can succeed a moment later."""
    return error.errno in _STALE | _BUSY


def retry_temporary(call: Callable[[], _Result], sleep: Callable[[float], None] = time.sleep) -> _Result:
    """Call a function that may be repeated; after a temporary failure of the volume, twice more.

    A stale handle of NFS is renewed by looking the path up again, and a busy file is often free a moment later.

    Args:
        call: what to do; names its files by path.
        sleep: waits so many seconds; raises if the run is to stop.

    Raises:
        OSError: of the last call.
    """
    for seconds in _RETRY_SECONDS:
        try:
            return call()
        except OSError as error:
            if not is_temporary(error):
                raise
            sleep(seconds)
    return call()


@contextmanager
def explain_os_errors(places: Places) -> Iterator[None]:
    """Turn an `OSError` of the block into the `VolumeError` that says what it means for the cache."""
    try:
        yield
    except OSError as error:
        raise volume_error(error, _place_of(error, places), on_host=places.label == HOST) from error


def _place_of(error: OSError, places: Places) -> Path:
    """Return the folder of the place in which a system call failed; that of the records if the error names no file."""
    path = Path(error.filename) if isinstance(error.filename, str) else places.own.path
    inside = [place.path for place in places.all() if path.is_relative_to(place.path)]
    return max(inside, key=lambda folder: len(folder.parts), default=places.own.path)


def is_denied(error: OSError) -> bool:
    """Return whether the system denied a write: no permission, or a read-only file system."""
    return error.errno in _NOT_PERMITTED or error.errno == errno.EROFS


def unwritable_folders(folders: Iterable[Path]) -> list[Path]:
    """Return those of the folders that this user may not write to, sorted.

    A folder that does not exist stands for its nearest parent that does.
    """
    existing = {nearest_folder(folder) for folder in folders}
    return sorted(path for path in existing if path.is_dir() and not os.access(path, os.W_OK | os.X_OK))


def permission_error(*paths: Path) -> NoPermission:
    """Return the error about paths of a host that this user may not write, or files that it may not read.

    On a volume that is mounted read-only, owners and modes are not the cause: the error names the volume instead.
    """
    blocked = [_blocking_path(path) for path in paths]
    for path, verb in blocked:
        if verb == "written" and _is_read_only(path):
            return _not_writable(str(path), path, OSError(errno.EROFS, os.strerror(errno.EROFS)))
    parts = [f"{path} cannot be {verb} ({owner_and_mode(path)})" for path, verb in blocked]
    user = current_user()
    remedies = [permission_remedy(path, user, write=verb == "written") for path, verb in blocked]
    uid = user.uid if user is not None else "this user"
    return NoPermission(f"uid {uid} may not: {'; '.join(parts)}", "; ".join(remedies))


def _is_read_only(path: Path) -> bool:
    """Return whether a path is on a volume that is mounted read-only; False if the system does not tell."""
    try:
        return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _not_writable(path: str, place: Path, error: OSError) -> NoPermission:
    message = error.strerror or str(error)
    return NoPermission(f"{path} cannot be written: {message}{_on_volume(place)}", write_remedy(place, error))


def write_remedy(place: Path, error: OSError) -> str:
    """Return the remedy for a user who may not write to a volume."""
    if error.errno == errno.EROFS:
        return "mount the volume read-write for the warmer; only the workers mount it read-only"
    if error.errno == errno.EIO:
        return "check the disk below the volume (input/output error), then run `cache-warmer warm` again"
    folder = nearest_folder(place)
    user = current_user()
    if user is not None and user.uid == 0:
        return (
            "even root may not (NFS with root_squash, or a container without capabilities): run as the owner of "
            f"{folder}, which is {owner_and_mode(folder)}"
        )
    identity = (
        f"uid {user.uid}, groups {', '.join(map(str, sorted(user.groups)))}"
        if user is not None
        else "this user"
    )
    return (
        f"{folder} belongs to {owner_and_mode(folder)}, the warmer runs as {identity}. In a cluster that means that "
        "this storage class ignores fsGroup; three ways to correct it: where the volume is served run "
        f"`chgrp {_gid(user)} DIR && chmod 2775 DIR`; or run as the volume's owner (podSecurityContext.runAsUser, "
        ".runAsGroup, .fsGroup); or take a storage class whose driver applies fsGroup"
    )


def mount_of(path: Path, mounts: Path = _MOUNTS) -> Mount | None:
    """Return the mount that a path lies on; None where the system has no table of mounts. Never raises.

    Args:
        path: any path; need not exist.
        mounts: the table of mounts, in the format of `/proc/self/mountinfo`.
    """
    try:
        lines = read_small_file(mounts, _MAX_MOUNTS_BYTES).decode("utf-8", "replace").splitlines()
        real_path = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: a circle of links
        return None
    depth, found = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, type_and_source = before.split(), after.split()
        if len(fields) < 5 or len(type_and_source) < 2:
            continue
        mount = Path(_unescape(fields[4]))
        # of two mounts on one path the later one is visible
        if real_path.is_relative_to(mount) and len(mount.parts) >= depth:
            depth, found = len(mount.parts), Mount(mount, type_and_source[0], _unescape(type_and_source[1]))
    return found


def volume_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the mount that a path lies on: `/cache, nfs4 of server:/export`; empty if not known. Never raises.

    Args:
        path: any path; need not exist.
        mounts: as of `mount_of`.
    """
    mount = mount_of(path, mounts)
    return str(mount) if mount is not None else ""


def _blocking_path(path: Path) -> tuple[Path, str]:
    """Return what denies access to a path, and what cannot be done with it: `read` or `written`."""
    barrier = blocking_path(path)
    if barrier != path:
        return barrier, "read"
    if path.is_file():
        return (path, "read") if not os.access(path, os.R_OK) else (path.parent, "written")
    return nearest_folder(path), "written"


def _gid(user: Identity | None) -> str:
    return str(user.gid) if user is not None else "GID"


def _on_volume(place: Path) -> str:
    volume = volume_of(nearest_folder(place))
    return f" (volume {volume})" if volume else ""


def _unescape(text: str) -> str:
    """Resolve the octal escapes of the table of mounts, such as 040 for a space."""
    return _OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
