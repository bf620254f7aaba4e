"""Cuts a long list into requests that a worker takes: at most so many items, at most so many bytes, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def spans(sizes: Sequence[int], max_items: int, max_bytes: int) -> Iterator[slice]:
    """Successive slices that together cover all items once, each as long as both limits allow.

    Args:
        sizes: bytes of each item's message, without what a repeated field adds to it.
        max_items: items in one slice, at least 1.
        max_bytes: bytes of one slice's items, what a repeated field adds included. A single item above it gets a slice
            of its own: whoever made the item has checked that a message can hold it.
    """
    start = taken = 0
    for index, size in enumerate(sizes):
        cost = size + field_overhead(size)
        if index > start and (index - start == max_items or taken + cost > max_bytes):
            yield slice(start, index)
            start, taken = index, 0
        taken += cost
    if start < len(sizes):
        yield slice(start, len(sizes))


def field_overhead(size: int) -> int:
    """Bytes before an embedded message of `size` bytes: its field number (below 16), then its length, 7 bits a byte."""
    return 1 + max(1, (size.bit_length() + 6) // 7)
