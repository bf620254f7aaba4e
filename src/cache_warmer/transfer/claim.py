"""Claims: how a run gets a staging file that it alone writes, with what earlier runs left of the body.

Safety must not rest on locks: some file systems have none, some (NFS with `local_lock`) only pretend to. So no file
that another process may have open is ever written to or published:

* A file under its resting name was closed by the run that put it there. It is claimed by a rename to a private name,
  which is atomic: of two runs one gets it.
* A file under a private name may still be written to by a suspended process. Its bytes are copied into a new file
  (`salvage`).

A claimed file can be taken from its owner at any instant, by a run that holds the owner for dead: every step that finds
the private name gone treats the file as the other's. A run that ends closes its file and gives it its resting name
again (`ClaimedFile.rest`).
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.transfer.journal import JOURNAL_SUFFIX, OPEN_FLAGS, STAGING_SUFFIX, Extents, journal_path
from cache_warmer.transfer.salvage import (
    FILE_MODE,
    READ_FLAGS,
    TryLock,
    is_old,
    open_leftover,
    remove_staged,
    salvage,
)
from cache_warmer.transfer.staging import (
    ClaimedFile,
    private_files,
    private_name,
    rename_staging_file,
    staged_extents,
)
from model_cache.containment import CacheBoundary


def claim_staging_file(
    resting: Path,
    boundary: CacheBoundary,
    size: int | None,
    check_cancelled: Callable[[], None],
    *,
    journaled: bool,
    lock: TryLock = try_lock,
) -> ClaimedFile:
    """Return a staging file of this run, with what earlier runs left.

    Args:
        resting: the resting name.
        boundary: the folders that its folder must not leave.
        size: bytes that the body will have; None if not known.
        check_cancelled: called between pieces of a copy; raises when the run must stop.
        journaled: whether the file has a journal, so that it may have holes; needs a size.
        lock: tries to lock an open file.

    Raises:
        OSError: the folder or the file cannot be created or written.
    """
    atomic.make_folders(resting.parent, boundary)
    file = _adopt(resting, lock) or _create(resting, lock)
    try:
        for source in private_files(resting):
            if source != file.path:
                with open_leftover(source, lock) as leftover:
                    if leftover is not None:
                        salvage(leftover, file, size, check_cancelled, journaled=journaled)
    except BaseException:
        file.close()
        file.rest()
        raise
    return file


@contextlib.contextmanager
def hold_lock(path: Path, *, lock: TryLock = try_lock) -> Iterator[None]:
    """Hold the lock of a closed file or of a tree while the block runs, so that no other run takes it for abandoned.

    It is opened for reading: a file may be published in the block. Without locks it is closed again, because Windows
    does not rename open files.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the block finds out
            descriptor = os.open(path, READ_FLAGS)
            stack.callback(os.close, descriptor)
            if lock(descriptor) is LockResult.NOT_POSSIBLE:
                stack.close()
        yield


def staged_bytes(resting: Path, size: int | None, *, lock: TryLock | None = None) -> int:
    """Return how many bytes of a body of `size` bytes earlier runs left.

    Args:
        resting: the resting name.
        size: bytes of the body; None if not known.
        lock: tries to lock an open file. If given, only leftovers of dead owners count: a claim takes those without
            extra space. None: all count.
    """
    extents = Extents(staged_extents(resting, size).pairs())
    for path in private_files(resting):
        if lock is not None:
            with open_leftover(path, lock) as leftover:
                if leftover is None or not leftover.abandoned:
                    continue
        for start, end in staged_extents(path, size).pairs():
            extents.add(start, end)
    return extents.total


def remove_abandoned(resting: Path, *, lock: TryLock = try_lock) -> None:
    """Remove the files, trees and journals that dead runs left under private names. Never raises."""
    with contextlib.suppress(OSError):
        for path in private_files(resting):
            with open_leftover(path, lock) as leftover:
                is_dead = leftover is not None and leftover.abandoned
                if is_dead and os.name == "posix":  # while its lock is held
                    remove_staged(path)
            if is_dead and os.name != "posix":  # Windows has no such locks, and deletes no open file
                remove_staged(path)
        for journal in (journal_path(resting), *private_files(resting, JOURNAL_SUFFIX)):
            file = journal.with_name(f"{journal.name.removesuffix(JOURNAL_SUFFIX)}{STAGING_SUFFIX}")
            if not os.path.lexists(file) and is_old(journal):  # a new one may be about to get its file
                journal.unlink(missing_ok=True)


def _adopt(resting: Path, lock: TryLock) -> ClaimedFile | None:
    """Claim the file under the resting name; None if there is none that can be written to.

    Between the rename and the lock another run may hold the owner of the private name for dead and take the file.
    """
    private = private_name(resting)
    try:
        rename_staging_file(resting, private)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        state = private.lstat()
        if not stat.S_ISREG(state.st_mode):  # a link may lead out of the cache
            remove_staged(private)
            return None
        if state.st_nlink > 1:  # another name of published content: only copied
            return None
        descriptor = os.open(private, OPEN_FLAGS & ~os.O_CREAT)
    except (FileNotFoundError, PermissionError):  # taken by another run, or of another user: copied
        return None
    file = ClaimedFile(descriptor, private, resting)
    try:
        # held by a program that writes under the resting name, or by the run that took the file
        is_claimed = lock(descriptor) is not LockResult.HELD_BY_ANOTHER and file.is_ours()
        if is_claimed:
            _apply_mode(file)
    except BaseException:  # a lock that stays open would look like that of another run
        file.close()
        file.rest()
        raise
    if not is_claimed:
        file.close()
        return None
    return file


def _create(resting: Path, lock: TryLock) -> ClaimedFile:
    private = private_name(resting)
    descriptor = os.open(private, OPEN_FLAGS | os.O_EXCL, FILE_MODE)
    file = ClaimedFile(descriptor, private, resting)
    try:
        lock(descriptor)
        _apply_mode(file)
    except BaseException:
        file.close()
        private.unlink(missing_ok=True)
        raise
    return file


def _apply_mode(file: ClaimedFile) -> None:
    with contextlib.suppress(PermissionError):  # a file of another user of the volume
        atomic.apply_cache_mode(file.descriptor, file.path.parent)
