"""Long texts for spaCy: where to split them, and how to merge what was found on both sides of a split.

A text is split into cores. They cover it without gaps and end, in order of preference, after a paragraph, a line, a
sentence or a word. Each core is read together with some text before and after it (its extent). What a pipeline finds at
a place depends only on a few words around it, so an entity that starts in a core is found there as in the whole text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from qda_worker.sentences.span import Span

# Context before and after each core, in code points: about five sentences. The pipelines themselves use a few words.
CONTEXT: Final = 500

# Smallest window that can overlap its neighbours, in code points.
_MIN_WINDOW: Final = 8

# Places to split a text, the best first: paragraph, line, sentence, single blank between words, any blank.
_BREAKS: Final = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?…]['\"»“”’)]*\s"),
    re.compile(r"(?<=\S)\s(?=\S)"),
    re.compile(r"\s"),
)
_BLANK: Final = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity.

    Attributes:
        text: the characters of the entity as sent.
        label: as the model names it, such as PER, LOC, ORG or MISC.
        start: first code point.
        end: code point after the last one.
    """

    text: str
    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text that is read at once.

    Attributes:
        core: entities that start here belong to this window.
        extent: what is read: the core and its context.
    """

    core: Span
    extent: Span


def find_break(text: str, lowest: int, highest: int) -> int:
    """Return the best place to split `text`, in lowest+1..highest.

    That is the last break of the best kind in that range, or `highest` if there is none.
    """
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(text, lowest, highest)]
        if ends:
            return ends[-1]
    return highest


def truncated_length(text: str, limit: int) -> int:
    """Return how many code points to read when `text` is cut to `limit`: up to the last break in the last eighth."""
    return len(text) if len(text) <= limit else find_break(text, limit - limit // 8, limit)


def split_windows(text: str, end: int, max_length: int) -> tuple[Window, ...]:
    """Split `text[:end]` into windows of at most `max_length` code points whose cores cover it.

    A text of up to `max_length` is one window; a longer one is several.

    Raises:
        ValueError: when `max_length` is below 8.
    """
    if max_length < _MIN_WINDOW:
        raise ValueError(f"windows of {max_length} code points are too small to overlap")
    if end <= max_length:
        return (Window(Span(0, end), Span(0, end)),)
    context = min(CONTEXT, max_length // 8)
    length = max_length - 2 * context
    windows = []
    start = 0
    while start < end:
        last = end - start <= length + context
        stop = end if last else find_break(text, start + length - length // 8, start + length)
        before = find_break(text, start - context, start - (context + 1) // 2) if start else 0
        behind = end if last else find_break(text, stop + context // 2, min(end, stop + context))
        windows.append(Window(Span(start, stop), Span(before, behind)))
        start = stop
    return tuple(windows)


def merge_entities(
    text: str, windows: Sequence[Window], entities: Sequence[Sequence[Entity]]
) -> tuple[Entity, ...]:
    """Merge the entities of all windows into those of the whole text.

    An entity that ends together with its window in the middle of a word is extended to the end of the word. Of two
    overlapping entities with one label the union remains. Of two labels the entity that starts first remains, because
    its window has seen it whole.

    Args:
        text: the whole text.
        windows: as `split_windows` returned them.
        entities: for each window, the entities that start in its core, with offsets inside its extent.

    Returns:
        Entities in text order, without overlaps.
    """
    text_end = windows[-1].core.end
    merged: list[Entity] = []
    for window, in_window in zip(windows, entities, strict=True):
        for entity in in_window:
            start, end = entity.start + window.extent.start, entity.end + window.extent.start
            if end == window.extent.end:
                end = _word_end(text, end, text_end)
            if merged and merged[-1].end > start:
                if merged[-1].label == entity.label:
                    merged[-1] = replace(merged[-1], end=max(merged[-1].end, end))
                continue
            merged.append(replace(entity, start=start, end=end))
    return tuple(replace(entity, text=text[entity.start : entity.end]) for entity in merged)


def _word_end(text: str, position: int, text_end: int) -> int:
    if position >= text_end or text[position - 1].isspace():
        return position
    blank = _BLANK.search(text, position, text_end)
    return blank.start() if blank else text_end
