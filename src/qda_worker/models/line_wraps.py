"""Whether a line break is a wrap: put there because the next word did not fit, and not because a sentence ends.

Reports and e-mails come hard-wrapped, and in German every other line then begins with a capital. A wrapped text shows
by its lines: each is as full as its next word allows, but those that end a paragraph. Lists and answers, one a line,
are of any length. Looked at are three lines on either side, of 120 code points at most: no text makes this slow.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

LINE_END: Final = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_NARROWEST, _WIDEST = 40, 120
"""Code points of the widest line around: verse is narrower, and what is wider was not wrapped for eyes."""
_SHORTEST: Final = 20
"""A line of less is not full: that would take a word of half the width."""
_LINES: Final = 3
"""On either side of the break."""
_FULL_LINES: Final = 2
"""So many are no chance."""
_REACH: Final = _LINES * (_WIDEST + 2)
_ENDS_PARAGRAPH: Final = re.compile(r"[.!?…:][\"'“”‘’»«›‹)\]]*\Z")


def is_wrap(text: str, at: int, behind: int) -> bool:
    """Whether the single line break at `at` parts words of one paragraph; the next line's text begins at `behind`."""
    if at - 1 - text.rfind("\n", max(0, at - _SHORTEST - 1), at) < _SHORTEST and at > _SHORTEST:
        return False  # most often, and said at once
    before = _lines(text[max(0, at - _REACH) : at], from_start=at <= _REACH)
    after = _lines(text[behind : behind + _REACH], to_end=behind + _REACH >= len(text))
    lines = [*_until_blank(before[::-1])[::-1], *_until_blank(after)]
    widths = [len(line) for line in lines]
    if not lines or not _NARROWEST <= max(widths) <= _WIDEST:
        return False
    full = 0
    for line, follows in pairwise(lines):
        if len(line) + 1 + len(follows.split(None, 1)[0]) > max(widths):
            full += 1
        elif not _ENDS_PARAGRAPH.search(line):
            return False
    return full >= _FULL_LINES


def _lines(part: str, *, from_start: bool = True, to_end: bool = True) -> list[str]:
    """The whole lines of a part of the text; its first or last one only if it is known to be whole."""
    lines = [line.rstrip() for line in LINE_END.split(part)]
    return lines[0 if from_start else 1 : len(lines) if to_end else -1]


def _until_blank(lines: list[str]) -> list[str]:
    """The lines of the paragraph that begins with the first, at most three."""
    found: list[str] = []
    for line in lines[:_LINES]:
        if not line:
            break
        found.append(line)
    return found
