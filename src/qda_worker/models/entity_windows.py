"""Long texts for spaCy: where to part them, and how to join what was found on both sides of a border.

A text is parted into cores, which cover it without a gap and end after a paragraph, a line, a sentence or a word, in
this order of preference. Each core is read together with some of the text before and after it: what a pipeline finds at
a place depends on a few words around it, so an entity that begins in a core is found there as in the whole text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from qda_worker.models.base import Span

# Code points read before and after each core: some five sentences, where the pipelines' own reach is a few
# words.
CONTEXT: Final = 500

_BORDERS: Final = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?…]['\"»“”’)]*\s"),
    re.compile(r"(?<=\S)\s(?=\S)"),
    re.compile(r"\s"),
)
_BLANK: Final = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity: its text as sent, its label as the model names it, start and end in code points."""

    text: str
    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is read at once: `reach`, of which the entities that begin in `core` count."""

    core: Span
    reach: Span


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


def text_windows(text: str, end: int, room: int) -> tuple[Window, ...]:
    """Windows of at most `room` code points whose cores cover `text[:end]`.

    Only a text of up to `room` is one window. Raises ValueError for a `room` below 8.
    """
    if room < 8:
        raise ValueError(f"windows of {room} code points are too small to overlap")
    if end <= room:
        return (Window(Span(0, end), Span(0, end)),)
    context = min(CONTEXT, room // 8)
    length = room - 2 * context
    windows = []
    start = 0
    while start < end:
        last = end - start <= length + context
        stop = end if last else border_before(text, start + length - length // 8, start + length)
        begin = border_before(text, start - context, start - (context + 1) // 2) if start else 0
        behind = end if last else border_before(text, stop + context // 2, min(end, stop + context))
        windows.append(Window(Span(start, stop), Span(begin, behind)))
        start = stop
    return tuple(windows)


def join_windows(
    text: str, windows: Sequence[Window], found: Sequence[Sequence[Entity]]
) -> tuple[Entity, ...]:
    """The entities of the whole text from those of each window, in the order of the text, none overlapping.

    found: for each window the entities that begin in its core, with offsets inside its reach. One that ends with its
    window in the middle of a word goes on to the word's end. Of two that overlap and have one label the union remains;
    of two labels the one that begins earlier, which its window has seen whole.
    """
    end = windows[-1].core.end
    joined: list[Entity] = []
    for window, entities in zip(windows, found, strict=True):
        for entity in entities:
            start, stop = entity.start + window.reach.start, entity.end + window.reach.start
            if stop == window.reach.end:
                stop = _word_end(text, stop, end)
            if joined and joined[-1].end > start:
                if joined[-1].label == entity.label:
                    joined[-1] = replace(joined[-1], end=max(joined[-1].end, stop))
                continue
            joined.append(replace(entity, start=start, end=stop))
    return tuple(replace(entity, text=text[entity.start : entity.end]) for entity in joined)


def _word_end(text: str, at: int, end: int) -> int:
    if at >= end or text[at - 1].isspace():
        return at
    blank = _BLANK.search(text, at, end)
    return blank.start() if blank else end
