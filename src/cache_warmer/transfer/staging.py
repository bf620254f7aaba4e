"""Staging files: where bodies grow, who may write to one, and where wrong content is kept.

A staging file lies beside its final name, because a rename does not cross mounts, and ends in `.incomplete`. It is
kept over runs, so that a later process resumes it. One live process writes to it at a time: it holds a lock on the
open file. If another process holds that lock (a suspended warmer whose lease expired), the file is unlinked and a
new one created; the other process notices by `is_same_file` that its file lost its name.

Quarantine: content that was wrong twice is kept as `<name>.wrong-<its sha256>.incomplete`, so that a person can look
at what the source sent. The name is the expected hash (of a wheel, its file name and the beginning of that hash). No
library reads that name, no later run resumes it, and garbage collection removes it like every staging file. At most
one is kept per file, and only while the volume has space to fetch the right content beside it.
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
from cache_warmer.disk.volume import MeasureFreeSpace, measure_free_space, with_margin
from cache_warmer.transfer.journal import (
    OPEN_FLAGS,
    STAGING_SUFFIX,
    Extents,
    boot_id,
    journal_path,
    read_journal,
)
from model_cache.containment import CacheBoundary
from model_cache.places import HOST, Places

_FILE_MODE: Final = 0o644
# Between the two hashes in the name of a quarantined file.
_QUARANTINE_MARK: Final = ".wrong-"
# Characters of the name that are kept in that of a quarantined file: both hashes must fit into 255 bytes.
_QUARANTINED_NAME: Final = 150


def staging_name(name: str, places: Places) -> str:
    """Return the staging name of a body whose final name is `name`.

    On a host other projects and other users download into the same folder, so the name contains our user id: it
    collides neither with another user's nor with those of the hub client.
    """
    if places.label != HOST:
        return f"{name}{STAGING_SUFFIX}"
    return f"{name}.qda-{os.getuid() if hasattr(os, 'getuid') else 'user'}{STAGING_SUFFIX}"


def final_name(staging: str) -> str:
    """Return the final name of a staging name; final names contain no dot."""
    return staging.partition(".")[0]


@contextmanager
def open_staging_file(path: Path, boundary: CacheBoundary) -> Iterator[int]:
    """Yield a descriptor for reading and writing, with the content that an earlier run left.

    Raises:
        VolumeUnsuitable: the folder leads out of the cache.
        OSError: the folder or the file cannot be created or opened.
    """
    atomic.make_folders(path.parent, boundary)
    descriptor = _open_exclusively(path)
    with contextlib.suppress(PermissionError):  # an earlier run's file, of another user of the volume
        atomic.apply_cache_mode(descriptor, path.parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether `path` still names the open file, and not that of another writer."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def staged_extents(path: Path, size: int | None) -> Extents:
    """Return the ranges of a body that an earlier run left: those in the journal, or the whole file without one.

    Args:
        path: the staging file.
        size: bytes that the body will have; None if not known.
    """
    try:
        file_size = path.lstat().st_size
    except OSError:
        return Extents()
    recorded = read_journal(path, size, boot_id()) if size is not None else None
    extents = Extents(recorded if recorded is not None else [(0, file_size)])
    # a journal of another file, or a file longer than the body: neither is the beginning of this body
    return extents if extents.end <= min(file_size, size if size is not None else file_size) else Extents()


def staged_bytes(path: Path, size: int | None) -> int:
    """Return how many bytes of a body of `size` bytes an earlier run left."""
    return staged_extents(path, size).total


def quarantine(
    descriptor: int, staging: Path, sha256: str, free_space: MeasureFreeSpace = measure_free_space
) -> Path | None:
    """Rename an open staging file whose content is wrong; return its new path, or None if it is not kept.

    It is not kept if it is empty, was replaced by another writer, leaves no space for the right content, or cannot
    be renamed. Never raises: keeping it is a convenience, and the run reports the mismatch itself.
    """
    name = staging.name.removesuffix(STAGING_SUFFIX)[:_QUARANTINED_NAME]
    with contextlib.suppress(OSError):
        for older in staging.parent.glob(f"{glob.escape(name)}{_QUARANTINE_MARK}*{STAGING_SUFFIX}"):
            older.unlink()
        size = os.fstat(descriptor).st_size
        has_space = free_space(staging.parent).bytes >= with_margin(size)
        if size and has_space and is_same_file(descriptor, staging):
            kept = staging.with_name(f"{name}{_QUARANTINE_MARK}{sha256}{STAGING_SUFFIX}")
            os.replace(staging, kept)
            return kept
    return None


def is_quarantined(path: Path) -> bool:
    """Return whether a file is a quarantined one, by its name."""
    return _QUARANTINE_MARK in path.name and path.name.endswith(STAGING_SUFFIX)


def _open_exclusively(path: Path) -> int:
    if path.is_symlink():  # never write through a link: it may lead out of the cache
        path.unlink()
    descriptor = os.open(path, OPEN_FLAGS, _FILE_MODE)
    if try_lock(descriptor) is LockResult.HELD_BY_ANOTHER:
        # a suspended warmer whose lease expired: it keeps its file, and notices later that the name is gone
        os.close(descriptor)
        journal_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, OPEN_FLAGS | os.O_EXCL, _FILE_MODE)
        try_lock(descriptor)
    return descriptor
