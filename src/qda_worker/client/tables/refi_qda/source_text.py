"""The text of a source in a project, and where the segments are in it. No I/O.

Positions in a project are code points of the source's text file (REFI-QDA 1.5, section 10.2), from 0, the end
exclusive, as programs write them. The text is, if possible, the one that the segments are from, so that a transcript
looks as it did: then a segment is found at its place, word by word, because labels and time marks may lie between its
words. Otherwise the segments are joined, each with its time and speaker.

Line ends are LF and there is no byte order mark: with CRLF or a mark, programs differ in what they count.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_WORD: Final = re.compile(r"\S+")
# Characters after which a word may follow without a blank: those that end labels and time marks.
_MARK_ENDS: Final = "#]):>}-–—"


@dataclass(frozen=True, slots=True)
class SourcePart:
    """A segment of a source, as far as its text in a project depends on it.

    Attributes:
        text: the segment's text.
        speaker: who speaks; empty if unknown.
        time: when it begins, in seconds; None if unknown.
        start: where it begins in the text of the source; None if unknown.
        end: where it ends there.
    """

    text: str
    speaker: str = ""
    time: float | None = None
    start: int | None = None
    end: int | None = None


class Placement:
    """Where the characters of a segment are in the text of its source."""

    def __init__(self, starts: Sequence[int], shifts: Sequence[int]) -> None:
        """Create the placement: from the character `starts[i]` on, positions are larger by `shifts[i]`."""
        self._starts = starts
        self._shifts = shifts

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where the characters from `start` to `end`, of which there is at least one, are in the source."""
        return self._position(start), self._position(end - 1) + 1

    def _position(self, index: int) -> int:
        return index + self._shifts[max(0, bisect_right(self._starts, index) - 1)]


def storable(text: str) -> str:
    """Return a text of the same length that any reader of UTF-8 text files returns as it is.

    Carriage returns become blanks or line ends, and half characters (lone surrogates) the replacement character. A byte
    order mark at the beginning becomes a blank, because readers drop it.
    """
    text = text.replace("\r\n", " \n").replace("\r", "\n")
    if text.startswith("\ufeff"):
        text = " " + text[1:]
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def joined_source(parts: Sequence[SourcePart]) -> tuple[str, list[Placement]]:
    """Return a text that consists of the segments, each with its time and speaker before it, and where they are."""
    pieces: list[str] = []
    placements: list[Placement] = []
    size = 0
    former: tuple[str, float | None] | None = None
    for part in parts:
        header = "" if former == (part.speaker, part.time) else _header(part)
        former = (part.speaker, part.time)
        if pieces:
            header = "\n\n" + header
        size += len(header)
        placements.append(Placement((0,), (size,)))
        pieces += [header, part.text]
        size += len(part.text)
    return storable("".join(pieces) + "\n"), placements


def original_source(text: str, parts: Sequence[SourcePart]) -> tuple[str, list[Placement]] | None:
    """Return the text of a source as it is, and where the segments are in it; None if one is not at its place."""
    placements: list[Placement] = []
    for part in parts:
        placement = _find(text, part)
        if placement is None:
            return None
        placements.append(placement)
    return storable(text), placements


def _find(text: str, part: SourcePart) -> Placement | None:
    if part.start is None or part.end is None or not 0 <= part.start <= part.end <= len(text):
        return None
    if text.startswith(part.text, part.start) and part.start + len(part.text) <= part.end:
        return Placement((0,), (part.start,))
    starts: list[int] = []
    shifts: list[int] = []
    position = part.start
    for word in _WORD.finditer(part.text):
        found = _find_word(text, word[0], position, part.end)
        if found < 0:
            return None
        if not shifts or shifts[-1] != found - word.start():
            starts.append(word.start())
            shifts.append(found - word.start())
        position = found + len(word[0])
    return Placement(starts, shifts) if starts else None


def _find_word(text: str, word: str, start: int, end: int) -> int:
    """Return where a word begins, behind a blank, a mark or the former word; -1 if nowhere."""
    found = text.find(word, start, end)
    while found > start and not (text[found - 1].isspace() or text[found - 1] in _MARK_ENDS):
        found = text.find(word, found + 1, end)
    return found


def _header(part: SourcePart) -> str:
    time = "" if part.time is None else f"[{_clock(part.time)}] "
    return time + (f"{part.speaker}: " if part.speaker else "")


def _clock(seconds: float) -> str:
    whole = int(max(seconds, 0))
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
