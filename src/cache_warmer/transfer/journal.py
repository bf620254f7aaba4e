"""The note beside a big staging file: which of its bytes are there, for a later process.

Ranges arrive side by side, so the file has holes and its size says nothing. Two things are noted:

* `written`: handed to the system. They outlive the process that dies, but not the machine, so they are believed only
  while the machine has not started anew: the note carries the kernel's boot id.
* `synced`: on disk since an fsync that ended before the note was written. They are believed by everybody, also on the
  other node on which the next pod runs.

So a killed process loses no more than what it had not noted, a power cut no more than what was not synced; and whatever
is believed, the expected hash has the last word. Each state has slots of a fixed size, with a checksum: a slot that was
torn while it was overwritten is no note. `synced` alternates between two, so that one of them is whole.

Which bytes of a file are there: a set of half-open ranges, kept sorted and merged.
"""

import contextlib
import json
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

# First byte, and the byte after the last.
Extent = tuple[int, int]


class Extents:
    """Grows by ranges, in any order. Not safe for threads."""

    def __init__(self, extents: Iterable[Extent] = ()) -> None:
        self._sorted: list[Extent] = []
        for start, end in extents:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Add a range; what touches or overlaps it becomes one with it."""
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
        """Bytes that are there from the beginning without a hole."""
        return self._sorted[0][1] if self._sorted and self._sorted[0][0] == 0 else 0

    @property
    def end(self) -> int:
        """The byte after the last one that is there."""
        return self._sorted[-1][1] if self._sorted else 0

    def pairs(self) -> tuple[Extent, ...]:
        """Return the ranges in order."""
        return tuple(self._sorted)

    def holes(self, size: int) -> Iterator[Extent]:
        """Yield what is not there of a file of that size, in order."""
        at = 0
        for start, end in self._sorted:
            if at < start:
                yield at, min(start, size)
            at = end
        if at < size:
            yield at, size


# A page: what most disks write as one.
_SLOT: Final = 4096
# The slot of what was written; slots 0 and 1 are of what was synced.
_WRITTEN: Final = 2
_SUFFIX: Final = ".incomplete"
_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def journal_path(staging: Path) -> Path:
    """Return where the note of a staging file lies; its name ends like that of all staging files."""
    return staging.with_name(f"{staging.name.removesuffix(_SUFFIX)}.ranges{_SUFFIX}")


def boot_id() -> str:
    """Return what names this start of this machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def noted_extents(staging: Path, size: int, boot: str) -> tuple[Extent, ...] | None:
    """Return what the note says of a staging file; None if there is none. Reads only."""
    try:
        with journal_path(staging).open("rb") as file:
            content = file.read(3 * _SLOT)
    except OSError:
        return None
    slots = [_parse(content[at : at + _SLOT], size) for at in range(0, 3 * _SLOT, _SLOT)]
    written = slots[_WRITTEN]
    if written is not None and boot and written.boot == boot:
        return written.extents
    synced = [slot for slot in slots[:_WRITTEN] if slot is not None]
    return max(synced, key=lambda slot: slot.number).extents if synced else ()


class Journal:
    """Writes the note. Not safe for threads."""

    def __init__(self, staging: Path, size: int, boot: str, mode: int) -> None:
        """Begin a note that says nothing. Raises `OSError`."""
        self.path = journal_path(staging)
        self._size, self._boot, self._number = size, boot, 0
        self.path.unlink(missing_ok=True)  # a frozen writer's stays its own
        self._descriptor = os.open(self.path, _FLAGS | os.O_EXCL, mode)

    def written(self, extents: Sequence[Extent]) -> None:
        """Note what the system has taken. Raises `OSError`."""
        self._write(_WRITTEN, extents)

    def synced(self, extents: Sequence[Extent]) -> None:
        """Note what an fsync that is over has put on disk. Raises `OSError`."""
        self._number += 1
        self._write(self._number % _WRITTEN, extents)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Delete the note: the staging file has no hole any more, or is empty."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._descriptor), self.path.lstat()):
                self.path.unlink()

    def _write(self, slot: int, extents: Sequence[Extent]) -> None:
        os.pwrite(self._descriptor, _dump(self._number, self._boot, self._size, extents), slot * _SLOT)


class _Slot:
    def __init__(self, number: int, boot: str, extents: tuple[Extent, ...]) -> None:
        self.number, self.boot, self.extents = number, boot, extents


def _dump(number: int, boot: str, size: int, extents: Sequence[Extent]) -> bytes:
    kept = list(extents)
    while True:
        text = json.dumps([number, boot, size, kept], separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        if len(line) <= _SLOT:
            return line.ljust(_SLOT)
        # so many holes do not arise; what is not noted is fetched again
        kept = kept[: len(kept) * _SLOT // (len(line) + 1)]


def _parse(slot: bytes, size: int) -> _Slot | None:
    checksum, _, text = slot.rstrip().partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        number, boot, noted_size, extents = json.loads(text)
        pairs = tuple((int(start), int(end)) for start, end in extents)
    except (ValueError, TypeError):
        return None
    if noted_size != size or any(not 0 <= start < end <= size for start, end in pairs):
        return None
    return _Slot(int(number), str(boot), pairs)
