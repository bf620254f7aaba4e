"""Salvage: what other runs left of a body under private names, and how the staging file of this run gets it.

The owner of such a file may be dead, suspended or alive, so its file is never published. Its bytes are copied. If the
owner is dead, the file is renamed first, so that the owner could not publish it any more, and it shrinks while it is
copied, so that a nearly full volume suffices. If the owner may be alive, the file stays as it is, and is copied only
while there is space for both.

Whether an owner is dead: it holds no lock where locks work; else nothing was written for ten minutes. A wrong guess
costs a live owner its file, never its content: it fails to rename it, and ends with LEASE_LOST.

Every copied byte is hashed before it is published, so what another process wrote meanwhile does no harm.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.disk.file_lock import ABANDONED_SECONDS, LockResult
from cache_warmer.disk.positioned_io import read_at, write_at
from cache_warmer.disk.volume import measure_free_space, with_margin
from cache_warmer.transfer.journal import OPEN_FLAGS, Extent, Extents, Journal, boot_id, journal_path
from cache_warmer.transfer.staging import ClaimedFile, private_name, rename_staging_file, staged_extents

# Tries to lock an open file; tests pass one that behaves like a volume without locks.
TryLock = Callable[[int], LockResult]

FILE_MODE: Final = 0o644
# To open what another run left, whatever it is, without waiting and without following a link.
READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_COPY_BYTES: Final = 16 << 20


@dataclass(slots=True)
class Leftover:
    """An open file or folder under a private name of another run.

    Attributes:
        descriptor: open for reading.
        path: its name.
        abandoned: whether its owner is dead.
    """

    descriptor: int
    path: Path
    abandoned: bool


@contextlib.contextmanager
def open_leftover(path: Path, lock: TryLock) -> Iterator[Leftover | None]:
    """Open a private file of another run and judge its owner; None if it cannot be read."""
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError:
        yield None
        return
    try:
        result = lock(descriptor)
        yield Leftover(descriptor, path, _is_abandoned(result, path))
    finally:
        os.close(descriptor)


def is_old(path: Path) -> bool:
    """Return whether nothing was written to a staging file, journal or tree for long; False if that is not known."""
    try:  # both times are those of the volume's own clock: this run has just created a name in the folder
        return path.parent.stat().st_mtime - _last_write(path) > ABANDONED_SECONDS
    except OSError:
        return False


def _is_abandoned(result: LockResult, path: Path) -> bool:
    return is_old(path) if result is LockResult.NOT_POSSIBLE else result is LockResult.TAKEN


def salvage(
    leftover: Leftover,
    file: ClaimedFile,
    size: int | None,
    check_cancelled: Callable[[], None],
    *,
    journaled: bool,
) -> None:
    """Copy what this run lacks of a leftover, and remove the leftover if its owner is dead."""
    if not stat.S_ISREG(os.fstat(leftover.descriptor).st_mode):
        return
    if leftover.abandoned:
        taken = private_name(file.resting)
        try:
            rename_staging_file(leftover.path, taken)
        except FileNotFoundError:  # another run took it
            return
        except OSError:  # this user may not rename it, or the system renames no open files
            leftover.abandoned = False
        else:
            leftover.path = taken
    wanted = _Salvage(leftover, file, size, check_cancelled)
    if journaled and size is not None:
        wanted.copy_with_journal(size)
    else:
        wanted.copy_beginning()
    if leftover.abandoned:
        remove_staged(leftover.path)


@dataclass(frozen=True, slots=True)
class _Salvage:
    """Copies the bytes of one leftover into a claimed file."""

    leftover: Leftover
    file: ClaimedFile
    size: int | None
    check_cancelled: Callable[[], None]

    def copy_with_journal(self, size: int) -> None:
        """Copy the ranges that the claimed file lacks, from the last to the first.

        The leftover of a dead owner is cut off behind each piece, so both need little more space than one. The journals
        are written before, so that a kill at any instant loses no more than the piece.
        """
        present = staged_extents(self.file.path, size)
        source = list(staged_extents(self.leftover.path, size).pairs())
        pieces = list(_pieces(source, present.holes(size)))
        cut = _open_to_cut(self.leftover)
        try:
            if pieces and (cut is not None or self._has_space(size)):
                self._copy_pieces(pieces, source, present, size, cut)
        finally:
            if cut is not None:
                os.close(cut)

    def _copy_pieces(
        self, pieces: list[Extent], source: list[Extent], present: Extents, size: int, cut: int | None
    ) -> None:
        journal = Journal(self.file.path, size, boot_id(), FILE_MODE)
        try:
            journal.record_written(present.pairs())
            for start, end in reversed(pieces):
                if not self._copy(start, end):
                    continue
                present.add(start, end)
                journal.record_written(present.pairs())
                if cut is not None:
                    _cut(cut, self.leftover.path, size, _below(source, start), start)
        finally:
            journal.close()

    def copy_beginning(self) -> None:
        """Copy the beginning of the body, if the leftover has more of it; a file without a journal has no holes."""
        present = staged_extents(self.file.path, self.size)
        end = staged_extents(self.leftover.path, self.size).prefix
        if end <= present.prefix or not self._has_space(self.size or end):
            return
        if not present.prefix:
            os.ftruncate(self.file.descriptor, 0)
        for start in range(present.prefix, end, _COPY_BYTES):
            if not self._copy(start, min(start + _COPY_BYTES, end)):
                return

    def _has_space(self, count: int) -> bool:
        """Return whether the volume has space for the whole body beside the leftover."""
        return measure_free_space(self.file.path.parent).bytes >= with_margin(count)

    def _copy(self, start: int, end: int) -> bool:
        """Copy a range. Returns False if the leftover does not have all of it (any more)."""
        self.check_cancelled()
        content = read_at(self.leftover.descriptor, end - start, start)
        write_at(self.file.descriptor, content, start)
        return len(content) == end - start


def _pieces(source: Iterable[Extent], holes: Iterable[Extent]) -> Iterator[Extent]:
    """Yield the parts of the ranges `source` that fall into holes, in order, in pieces of a size to copy at once."""
    ranges = list(source)
    for hole_start, hole_end in holes:
        for start, end in ranges:
            low, high = max(start, hole_start), min(end, hole_end)
            for at in range(low, high, _COPY_BYTES):
                yield at, min(at + _COPY_BYTES, high)


def _below(extents: Iterable[Extent], end: int) -> tuple[Extent, ...]:
    return tuple((start, min(stop, end)) for start, stop in extents if start < end)


def _open_to_cut(leftover: Leftover) -> int | None:
    """Open the leftover of a dead owner for writing; None if it must not be changed or this user may not."""
    if not leftover.abandoned or os.fstat(leftover.descriptor).st_nlink > 1:
        return None
    try:
        return os.open(leftover.path, OPEN_FLAGS & ~os.O_CREAT)
    except OSError:
        return None


def _cut(descriptor: int, path: Path, size: int, extents: Iterable[Extent], end: int) -> None:
    """Cut a leftover off at `end`; its new journal first, which must never promise more than is there."""
    journal = Journal(path, size, boot_id(), FILE_MODE)
    journal.record_written(tuple(extents))
    journal.close()
    os.ftruncate(descriptor, end)


def remove_staged(path: Path) -> None:
    """Remove a staging file with its journal, or a tree."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with contextlib.suppress(FileNotFoundError):
        journal_path(path).unlink()


def _last_write(path: Path) -> float:
    """Return when a file or anything in a tree was written, in seconds since the epoch."""
    inside = list(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
    return max(float(each.lstat().st_mtime) for each in (path, *inside))
