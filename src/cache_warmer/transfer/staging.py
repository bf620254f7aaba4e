"""The file that a body grows in: kept over runs, used by one live process at a time.

Keeps what a source sent instead of what was promised, for whoever asks what it was.

It lies beside the staging file, because rename does not cross mounts, as `<name>.wrong-<its sha256>.incomplete`; the
name is the promised hash (of a wheel, its file name and the beginning of that hash). No name of a library stands for
it, no later run goes on from it, and it ends like every staging file, so `collect` removes it. One at most is kept of
a file, and only while the volume has room to fetch the right one beside it.
"""

import contextlib
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.disk.volume import FreeOf, free_of, with_margin
from cache_warmer.transfer.journal import Extents, boot_id, journal_path, noted_extents
from model_cache.places import HOST, Places

_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def staging_name(name: str, places: Places) -> str:
    """Return the name under which a body of that final name grows.

    On a host other projects and other users fetch into the same folder: each user of ours has names of its own, and
    the hub client's are left alone.
    """
    if places.label != HOST:
        return f"{name}.incomplete"
    return f"{name}.qda-{os.getuid() if hasattr(os, 'getuid') else 'user'}.incomplete"


def final_name(staging: str) -> str:
    """Return the name, which has no dot, that a staging name stands for."""
    return staging.partition(".")[0]


@contextmanager
def staging_file(path: Path) -> Iterator[int]:
    """Open the file for reading and writing, with what an earlier run left in it. Raises `OSError`."""
    atomic.make_folders(path.parent)
    descriptor = _open_alone(path)
    with contextlib.suppress(PermissionError):  # an earlier run's, of another user of the volume
        atomic.readable_by_all(descriptor, path.parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_still_there(descriptor: int, path: Path) -> bool:
    """Return whether that name still stands for the open file, and not for another writer's."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def staged_extents(path: Path, size: int | None) -> Extents:
    """Return what an earlier run left of a body: what its note says, or all of a file without one."""
    try:
        there = path.lstat().st_size
    except OSError:
        return Extents()
    noted = noted_extents(path, size, boot_id()) if size is not None else None
    extents = Extents(noted if noted is not None else [(0, there)])
    # a note of another file, or a file longer than the body: neither is a beginning of it
    return extents if extents.end <= min(there, size if size is not None else there) else Extents()


def staged_bytes(path: Path, size: int | None) -> int:
    """Return how many bytes of a body of that size an earlier run left."""
    return staged_extents(path, size).total


def _open_alone(path: Path) -> int:
    if path.is_symlink():  # never write through a link that somebody left here
        path.unlink()
    descriptor = os.open(path, _FLAGS, 0o644)
    if try_lock(descriptor) is LockResult.HELD_BY_ANOTHER:
        # a frozen warmer whose lease is over: it keeps its file, and finds on waking that the name is gone
        os.close(descriptor)
        journal_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, _FLAGS | os.O_EXCL, 0o644)
        try_lock(descriptor)
    return descriptor


# Stands between the two hashes in the name.
MARK: Final = ".wrong-"
_SUFFIX: Final = ".incomplete"


def is_quarantined(path: Path) -> bool:
    """Return whether a file is one that was kept so, by its name."""
    return MARK in path.name and path.name.endswith(_SUFFIX)


def quarantine(descriptor: int, staging: Path, sha256: str, free_here: FreeOf = free_of) -> Path | None:
    """Rename an open staging file whose content is wrong, and return its new name; None: it is not kept.

    Not kept is one that is empty, that another writer replaced, that there is no room for, or that cannot be renamed:
    it is a service, and the run has failed for a better reason.
    """
    name = staging.name.removesuffix(_SUFFIX)[:150]
    with contextlib.suppress(OSError):
        for older in staging.parent.glob(f"{glob.escape(name)}{MARK}*{_SUFFIX}"):
            older.unlink()
        size = os.fstat(descriptor).st_size
        room = free_here(staging.parent).bytes >= with_margin(size)
        if size and room and is_still_there(descriptor, staging):
            kept = staging.with_name(f"{name}{MARK}{sha256}{_SUFFIX}")
            os.replace(staging, kept)
            return kept
    return None
