"""What the file system below a place says: its free bytes and inodes, and why a write to it failed.

Names the volume that a path lies on as it was mounted: people know their volumes, not device numbers.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.errors import NoPermission, NoSpace, VolumeError, VolumeUnsuitable
from model_cache.check.permissions import Identity, advice, blocking_path, described, this_user
from model_cache.places import HOST, Places

_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def volume_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return `/cache, nfs4 of server:/export`; empty where the system does not say. Never raises."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
        there = path.resolve()
    except (OSError, RuntimeError):
        return ""
    found: tuple[int, str] = (-1, "")
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 2:
            continue
        mount = Path(_plain(fields[4]))
        # of two on one path the later one is what is seen
        if there.is_relative_to(mount) and len(mount.parts) >= found[0]:
            source = _plain(kind[1])
            of = f" of {source}" if source not in ("none", kind[0]) else ""
            found = len(mount.parts), f"{mount}, {kind[0]}{of}"
    return found[1]


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


# Kept free beside what is fetched, with 2 % of it: records, folders, and a file system's own growth.
MARGIN_BYTES: Final = 4 << 20

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM})
_DENIED: Final = _NOT_OURS | {errno.EROFS, errno.EIO}
_MAKE_ROOM: Final = (
    "free some space, enlarge the volume (cache.size in a cluster), or choose another with --cache"
)


@dataclass(frozen=True, slots=True)
class Free:
    """What a file system has left for this user. `inodes` None: it does not count them."""

    device: int
    bytes: int
    inodes: int | None


FreeOf = Callable[[Path], Free]


def free_of(path: Path) -> Free:
    """Return what is free where that path is, or would be. Raises `OSError`."""
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
    """Raise `NoSpace` unless so many bytes and inodes are free there."""
    free = free_here(folder)
    if free.bytes < count:
        raise NoSpace(f"{folder}: {count} bytes are needed, {free.bytes} are free", _MAKE_ROOM)
    if free.inodes is not None and free.inodes < inodes:
        raise NoSpace(f"{folder}: {inodes} inodes are needed, {free.inodes} are free", _MAKE_ROOM)


def no_space(message: str) -> NoSpace:
    """Return the error with its remedy."""
    return NoSpace(message, _MAKE_ROOM)


def of_os_error(error: OSError, place: Path, *, on_host: bool = False) -> VolumeError:
    """Return what a failed system call below a place says about it."""
    where = error.filename if isinstance(error.filename, str) else str(place)
    said = error.strerror or str(error)
    if error.errno in _FULL:
        return no_space(f"{where}: {said} (bytes or inodes of the volume that holds {place} ran out)")
    if error.errno in _DENIED:
        if on_host and error.errno in _NOT_OURS:
            return not_permitted(Path(where))
        return NoPermission(
            f"{where} cannot be written: {said}{_on_volume(place)}", write_remedy(place, error)
        )
    return VolumeUnsuitable(f"{where}: {said}", f"let {place} be a folder on a volume with POSIX semantics")


@contextmanager
def explain_os_errors(places: Places) -> Iterator[None]:
    """Turn an `OSError` of the block into the `VolumeError` that says what it means for the cache."""
    try:
        yield
    except OSError as error:
        raise of_os_error(error, places.own.path, on_host=places.label == HOST) from error


def is_denied(error: OSError) -> bool:
    """Return whether the system refused a write: by permission, or because all of it is read-only."""
    return error.errno in _NOT_OURS or error.errno == errno.EROFS


def not_writable(folders: Iterable[Path]) -> list[Path]:
    """Return what this user cannot write to of the folders, or of the nearest parents of those that do not exist."""
    there = {nearest_folder(folder) for folder in folders}
    return sorted(path for path in there if path.is_dir() and not os.access(path, os.W_OK | os.X_OK))


def not_permitted(*paths: Path) -> NoPermission:
    """Return the error about paths of a host that this user may not write (or, of a file, not read)."""
    blocked = [_blocked(path) for path in paths]
    parts = [f"{path} cannot be {verb} ({described(path)})" for path, verb in blocked]
    me = this_user()
    remedies = [advice(path, me, write=verb == "written") for path, verb in blocked]
    uid = me.uid if me is not None else "this user"
    return NoPermission(f"uid {uid} may not: {'; '.join(parts)}", "; ".join(remedies))


def _blocked(path: Path) -> tuple[Path, str]:
    """Return what is in the way of a path, and what cannot be done with it."""
    barrier = blocking_path(path)
    if barrier != path:
        return barrier, "read"
    if path.is_file():
        return (path, "read") if not os.access(path, os.R_OK) else (path.parent, "written")
    return nearest_folder(path), "written"


def write_remedy(place: Path, error: OSError) -> str:
    """Return what helps a user who may not write to a volume."""
    if error.errno == errno.EROFS:
        return "mount the volume read-write for the warmer; only the workers mount it read-only"
    if error.errno == errno.EIO:
        return "look at the disk below the volume (input/output error), then run `cache-warmer warm` again"
    there = nearest_folder(place)
    me = this_user()
    if me is not None and me.uid == 0:
        return (
            "even root may not (NFS with root_squash, or a container without capabilities): run as the owner of "
            f"{there}, which is {described(there)}"
        )
    who = f"uid {me.uid}, groups {', '.join(map(str, sorted(me.groups)))}" if me is not None else "this user"
    return (
        f"{there} belongs to {described(there)}, the warmer runs as {who}. In a cluster that means that this "
        "storage class ignores fsGroup; three ways to mend it: where the volume is served run "
        f"`chgrp {_group(me)} DIR && chmod 2775 DIR`; or run as the volume's owner (podSecurityContext.runAsUser, "
        ".runAsGroup, .fsGroup); or take a storage class whose driver applies fsGroup"
    )


def _group(me: Identity | None) -> str:
    return str(me.gid) if me is not None else "GID"


def _on_volume(place: Path) -> str:
    volume = volume_of(nearest_folder(place))
    return f" (volume {volume})" if volume else ""
