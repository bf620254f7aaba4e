"""Offsets in the unit in which the caller's language counts characters.

Python counts code points. Go, Rust and C count UTF-8 bytes. Java, JavaScript and C# count UTF-16 code units. An offset
in the wrong unit is off by one for every umlaut or emoji before it, so the caller names the unit.
"""

from collections.abc import Iterable
from enum import Enum
from itertools import accumulate


class OffsetEncoding(Enum):
    """The unit of an offset."""

    UTF8 = "utf8"
    UTF16 = "utf16"
    CODE_POINT = "code-point"


class Offsets:
    """Converts code point offsets of one text to another unit.

    The constructor passes over the text once; then each offset takes constant time. A text in ASCII needs no table. The
    text must not contain lone surrogates, which text from valid UTF-8 never does.
    """

    __slots__ = ("_length", "_table")

    def __init__(self, text: str, encoding: OffsetEncoding) -> None:
        self._length = len(text)
        self._table: list[int] | None = None
        if encoding is not OffsetEncoding.CODE_POINT and not text.isascii():
            width = _utf8_width if encoding is OffsetEncoding.UTF8 else _utf16_width
            self._table = list(accumulate(map(width, text), initial=0))

    def at(self, code_point: int) -> int:
        """Return the offset of the boundary before a code point; `len(text)` gives the end of the text.

        Raises:
            IndexError: when `code_point` is outside 0..len(text).
        """
        if not 0 <= code_point <= self._length:
            raise IndexError(f"offset {code_point} lies outside a text of {self._length} code points")
        return code_point if self._table is None else self._table[code_point]


def convert_spans(
    text: str, spans: Iterable[tuple[int, int]], encoding: OffsetEncoding
) -> list[tuple[int, int]]:
    """Convert spans of `text`, given as (start, end) in code points, to the unit of `encoding`."""
    offsets = Offsets(text, encoding)
    return [(offsets.at(start), offsets.at(end)) for start, end in spans]


def _utf8_width(character: str) -> int:
    code = ord(character)
    if code < 0x80:
        return 1
    if code < 0x800:
        return 2
    return 3 if code < 0x10000 else 4


def _utf16_width(character: str) -> int:
    return 1 if ord(character) < 0x10000 else 2
