"""Which bytes of a file are there: a set of half-open ranges, kept sorted and merged."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

Extent = tuple[int, int]
"""First byte, and the byte after the last."""


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
