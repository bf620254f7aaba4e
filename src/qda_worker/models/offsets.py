"""Offsets in the unit in which the caller's language counts characters.

Python counts code points. Go, Rust and C count UTF-8 bytes. Java, JavaScript and C# count UTF-16 code units. An offset
in the wrong unit is off by one for every umlaut or emoji before it, so the caller names the unit.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TWO_UNITS: Final = re.compile("[\U00010000-\U0010ffff]")


class OffsetEncoding(Enum):
    """The unit of an offset."""

    UTF8 = "utf8"
    UTF16 = "utf16"
    CODE_POINT = "code-point"


def convert_spans(
    text: str, spans: Iterable[tuple[int, int]], encoding: OffsetEncoding
) -> list[tuple[int, int]]:
    """Convert spans of a text from code points to another unit.

    The time is linear in the text, however many spans there are and whether they overlap: boundaries are visited in
    ascending order, and each character between two of them is read once.

    Args:
        text: the text. It must not contain lone surrogates, which text from valid UTF-8 never does.
        spans: start and end of each, in code points, in any order.
        encoding: the unit of the result.

    Returns:
        The same spans, in the same order.

    Raises:
        IndexError: when a boundary is outside 0..len(text).
    """
    spans = list(spans)
    boundaries = sorted({boundary for span in spans for boundary in span})
    if boundaries and not 0 <= boundaries[0] <= boundaries[-1] <= len(text):
        wrong = boundaries[0] if boundaries[0] < 0 else boundaries[-1]
        raise IndexError(f"offset {wrong} lies outside a text of {len(text)} code points")
    if encoding is OffsetEncoding.CODE_POINT or text.isascii():
        return spans
    convert = _to_utf8 if encoding is OffsetEncoding.UTF8 else _to_utf16
    converted = dict(zip(boundaries, convert(text, boundaries), strict=True))
    return [(converted[start], converted[end]) for start, end in spans]


def convert_positions(text: str, positions: NDArray[np.int32], encoding: OffsetEncoding) -> NDArray[np.int32]:
    """Convert many positions in a text from code points to another unit: the same as `convert_spans`, in numpy.

    Args:
        text: the text, without lone surrogates.
        positions: code points, int32 of any shape, each in 0..len(text).
        encoding: the unit of the result.
    """
    if encoding is OffsetEncoding.CODE_POINT or text.isascii():
        return positions
    code_points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    limits = (0x80, 0x800, 0x10000) if encoding is OffsetEncoding.UTF8 else (0x10000,)
    units = np.concatenate([[0], sum((code_points >= limit).astype(np.int32) for limit in limits) + 1])
    converted: NDArray[np.int32] = np.cumsum(units, dtype=np.int32)[positions]
    return converted


def _to_utf8(text: str, boundaries: Sequence[int]) -> Iterable[int]:
    """Yield ascending boundaries in bytes of UTF-8."""
    position = length = 0
    for boundary in boundaries:
        length += len(text[position:boundary].encode())
        position = boundary
        yield length


def _to_utf16(text: str, boundaries: Sequence[int]) -> Iterable[int]:
    """Yield boundaries in units of UTF-16, in which characters outside the basic plane have two."""
    pairs = [match.start() for match in _TWO_UNITS.finditer(text)]
    return (boundary + bisect_left(pairs, boundary) for boundary in boundaries)
