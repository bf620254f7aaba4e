"""Journal of a big staging file: which byte ranges of it are present, for a later process that resumes it.

Ranges arrive in parallel, so the staging file has holes and its size is not what is present. The journal is a small
file beside it that records two states:

* `written`: passed to the operating system. These bytes survive the death of the process but not of the machine, so
  they count only until the machine restarts: the record carries the kernel's boot id.
* `synced`: on disk since an fsync that ended before the record was written. These bytes always count, also on the
  node on which the next pod runs.

So a killed process loses at most what it had not recorded, a power failure at most what was not synced. Either way
the expected hash decides in the end.

File format: three slots of 4096 bytes, each one JSON array behind its CRC-32. A slot that was torn while it was
overwritten fails its checksum and is ignored. `synced` alternates between the first two slots, so that one of them
is always whole; `written` has the third.

On failure: a journal that cannot be parsed counts as "nothing is present"; without a journal the whole staging file
counts as present (`staging.staged_extents`). `Journal` and `Extents` are not thread-safe; `PartialFile` guards them.
"""

import contextlib
import errno
import json
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.disk.positioned_io import write_at
from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json

# Ending of every staging file and of its journal; garbage collection finds both by it.
STAGING_SUFFIX: Final = ".incomplete"
JOURNAL_SUFFIX: Final = f".ranges{STAGING_SUFFIX}"
# To open a staging file or a journal for reading and writing, without following a link.
OPEN_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
# Bytes of a slot: one page, which most disks write atomically.
_SLOT_BYTES: Final = 4096
# Number of the slot for `written`; slots 0 and 1 are for `synced`.
_WRITTEN_SLOT: Final = 2
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

# First byte, and the byte after the last.
Extent = tuple[int, int]


class Extents:
    """A set of half-open byte ranges, kept sorted and merged. Not thread-safe."""

    def __init__(self, extents: Iterable[Extent] = ()) -> None:
        self._sorted: list[Extent] = []
        for start, end in extents:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Add a range and merge it with those that it touches or overlaps."""
        if start >= end:
            return
        first = bisect_left(self._sorted, start, key=lambda extent: extent[1])
        last = first
        while last < len(self._sorted) and self._sorted[last][0] <= end:
            start, end = min(start, self._sorted[last][0]), max(end, self._sorted[last][1])
            last += 1
        self._sorted[first:last] = [(start, end)]

    @property
    def total(self) -> int:
        """Bytes in all ranges."""
        return sum(end - start for start, end in self._sorted)

    @property
    def prefix(self) -> int:
        """Bytes that are present from the beginning up to the first hole."""
        return self._sorted[0][1] if self._sorted and self._sorted[0][0] == 0 else 0

    @property
    def end(self) -> int:
        """The byte after the last one that is present."""
        return self._sorted[-1][1] if self._sorted else 0

    def pairs(self) -> tuple[Extent, ...]:
        """Return the ranges in order."""
        return tuple(self._sorted)

    def holes(self, size: int) -> Iterator[Extent]:
        """Yield the missing ranges of a file of `size` bytes, in order."""
        at = 0
        for start, end in self._sorted:
            if at < start:
                yield at, min(start, size)
            at = end
        if at < size:
            yield at, size


class Journal:
    """Writer of the journal of one staging file. Not thread-safe."""

    def __init__(self, staging: Path, size: int, boot: str, mode: int) -> None:
        """Create an empty journal.

        Args:
            staging: the staging file.
            size: bytes that the body will have.
            boot: boot id of this machine.
            mode: permission bits of the journal.

        Raises:
            OSError: the journal cannot be created.
        """
        self.path = journal_path(staging)
        self._size, self._boot, self._number = size, boot, 0
        # a new file, so that a suspended process which still has the former one open cannot write into this
        self.path.unlink(missing_ok=True)
        self._descriptor = os.open(self.path, OPEN_FLAGS | os.O_EXCL, mode)
        self._state = os.fstat(self._descriptor)

    def record_written(self, extents: Sequence[Extent]) -> None:
        """Record what was passed to the operating system.

        Raises:
            OSError: the record cannot be written.
        """
        self._write(_WRITTEN_SLOT, extents)

    def record_synced(self, extents: Sequence[Extent]) -> None:
        """Record what a finished fsync brought to disk.

        Raises:
            OSError: the record cannot be written or synced.
        """
        self._number += 1
        self._write(self._number % _WRITTEN_SLOT, extents)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file and leave it for the next run."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Delete the closed journal, unless another writer replaced it: the staging file is complete, or empty.

        Closed, because Windows deletes no open file.
        """
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._state, self.path.lstat()):
                self.path.unlink()

    def _write(self, slot: int, extents: Sequence[Extent]) -> None:
        record = _dump_slot(self._number, self._boot, self._size, extents)
        write_at(self._descriptor, record, slot * _SLOT_BYTES)


def journal_path(staging: Path) -> Path:
    """Return the path of a staging file's journal, which ends like a staging file."""
    return staging.with_name(f"{staging.name.removesuffix(STAGING_SUFFIX)}{JOURNAL_SUFFIX}")


def boot_id() -> str:
    """Return the kernel's id of the present boot; empty where the system has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def read_journal(staging: Path, size: int, boot: str) -> tuple[Extent, ...] | None:
    """Return the ranges of a staging file that its journal vouches for; None if there is no journal.

    Args:
        staging: the staging file.
        size: bytes that the body will have; a journal for another size vouches for nothing.
        boot: boot id of this machine.
    """
    try:
        content = read_small_file(journal_path(staging))
    except OSError as error:
        # something else under the name of a journal: the staging file beside it may have holes
        return () if error.errno in (errno.EFBIG, errno.EINVAL) else None
    slots = [
        _parse_slot(content[at : at + _SLOT_BYTES], size) for at in range(0, 3 * _SLOT_BYTES, _SLOT_BYTES)
    ]
    written = slots[_WRITTEN_SLOT]
    if written is not None and boot and written.boot == boot:
        return written.extents
    synced = [slot for slot in slots[:_WRITTEN_SLOT] if slot is not None]
    return max(synced, key=lambda slot: slot.number).extents if synced else ()


@dataclass(frozen=True, slots=True)
class _Slot:
    number: int
    boot: str
    extents: tuple[Extent, ...]


def _dump_slot(number: int, boot: str, size: int, extents: Sequence[Extent]) -> bytes:
    kept = list(extents)
    while True:
        text = json.dumps([number, boot, size, kept], separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        if len(line) <= _SLOT_BYTES:
            return line.ljust(_SLOT_BYTES)
        # does not happen with the ranges that `body` requests; what is not recorded is fetched again
        kept = kept[: len(kept) * _SLOT_BYTES // (len(line) + 1)]


def _parse_slot(slot: bytes, size: int) -> _Slot | None:
    checksum, _, text = slot.rstrip().partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        number, boot, recorded_size, extents = parse_json(text)
        number = int(number)
        pairs = tuple((int(start), int(end)) for start, end in extents)
    except (ValueError, TypeError, OverflowError):
        return None
    if recorded_size != size or any(not 0 <= start < end <= size for start, end in pairs):
        return None
    return _Slot(number, str(boot), pairs)
