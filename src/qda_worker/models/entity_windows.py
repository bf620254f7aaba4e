"""Long texts for spaCy: where to part them, and how to join what was found on both sides of a border.

Windows end after a paragraph, a line, a sentence or a word, in this order of preference, and overlap, so that an
entity that crosses a border is seen whole by one of the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qda_worker.models.base import Span

_BORDERS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"[.!?…]['\"»“”’)]*\s"), re.compile(r"\s"))


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity: its text as sent, its label as the model names it, start and end in code points."""

    text: str
    label: str
    start: int
    end: int


def border_before(text: str, lowest: int, highest: int) -> int:
    """The best place to part `text`, in lowest+1..highest: the last border of the best kind there, else `highest`."""
    for border in _BORDERS:
        ends = [found.end() for found in border.finditer(text, lowest, highest)]
        if ends:
            return ends[-1]
    return highest


def cut_length(text: str, room: int) -> int:
    """How many code points of `text` to read when it is cut to `room`: up to the last border of the last eighth."""
    return len(text) if len(text) <= room else border_before(text, room - room // 8, room)


def text_windows(text: str, room: int) -> tuple[Span, ...]:
    """Overlapping spans of at most `room` code points that cover `text`.

    Each but the last ends at a border in its last eighth, and the next begins at a border in the eighth before that
    end. Raises ValueError for a `room` below 8.
    """
    if room < 8:
        raise ValueError(f"windows of {room} code points are too small to overlap")
    eighth = room // 8
    spans = []
    start = 0
    while len(text) - start > room:
        end = border_before(text, start + room - eighth, start + room)
        spans.append(Span(start, end))
        start = border_before(text, end - eighth, max(end - eighth // 2, end - eighth + 1))
    spans.append(Span(start, len(text)))
    return tuple(spans)


def join_windows(text: str, windows: Sequence[Span], found: Sequence[Sequence[Entity]]) -> tuple[Entity, ...]:
    """The entities of the whole text from those of each window, in the order of the text, none overlapping.

    found: for each window its entities, with offsets inside that window. Of two that overlap and have one label the
    union remains (a border cut one of them short); of two labels the one remains that lies farther from the border
    of the window that gave it.
    """
    joined: list[tuple[Entity, int]] = []
    for window, entities in zip(windows, found, strict=True):
        for entity in entities:
            moved = replace(entity, start=entity.start + window.start, end=entity.end + window.start)
            room = min(moved.start - window.start, window.end - moved.end)
            _add(joined, moved, room)
    return tuple(replace(entity, text=text[entity.start : entity.end]) for entity, _ in joined)


def _add(joined: list[tuple[Entity, int]], new: Entity, room: int) -> None:
    """Adds `new` to entities in order; `room` is its distance to the nearer border of its window."""
    place = len(joined)
    while place > 0 and joined[place - 1][0].end > new.start:
        place -= 1
    rest = joined[place:]
    overlapping = [(old, old_room) for old, old_room in rest if old.start < new.end]
    after = rest[len(overlapping) :]
    if any(old.label != new.label and old_room >= room for old, old_room in overlapping):
        return
    same = [old for old, _ in overlapping if old.label == new.label]
    start = min([new.start, *(old.start for old in same)])
    end = max([new.end, *(old.end for old in same)])
    widest = max([room, *(old_room for old, old_room in overlapping if old.label == new.label)])
    joined[place:] = [(replace(new, start=start, end=end), widest), *after]
