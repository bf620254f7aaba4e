"""Splitting a long text for spaCy loses no entity and finds none twice."""

import re
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.entity_windows import (
    Entity,
    Window,
    find_break,
    merge_entities,
    split_windows,
    truncated_length,
)
from qda_worker.sentences.span import Span

WORDS: Final = st.sampled_from(
    ["Köln", "in", "der", "Stadt.", "Ja!", "\n", "\n\n", "😀", "Otto", "«Nein.»", "x" * 30]
)
LONG_TEXTS: Final = st.lists(WORDS, max_size=120).map(" ".join)
ROOMS: Final = st.integers(8, 200)


@given(LONG_TEXTS, ROOMS)
def test_cores_cover_the_text_and_windows_fit(text: str, room: int) -> None:
    windows = split_windows(text, len(text), room)
    assert (windows[0].core.start, windows[-1].core.end) == (0, len(text))
    assert all(before.core.end == after.core.start for before, after in pairwise(windows))
    for window in windows:
        assert window.extent.length <= room
        assert (
            0 <= window.extent.start <= window.core.start <= window.core.end <= window.extent.end <= len(text)
        )
    assert all(
        before.extent.end > before.core.end > after.extent.start for before, after in pairwise(windows)
    )
    assert (len(windows) == 1) == (len(text) <= room)


@given(LONG_TEXTS, ROOMS, st.integers(0, 50))
def test_windows_of_a_cut_text_end_at_the_cut(text: str, room: int, cut: int) -> None:
    windows = split_windows(text, max(0, len(text) - cut), room)
    assert max(window.extent.end for window in windows) == max(0, len(text) - cut)


@given(LONG_TEXTS, st.integers(80, 200))
def test_entities_found_in_windows_are_those_of_the_whole_text(text: str, room: int) -> None:
    """With a finder that recognizes a name only if it reads the whole word."""
    windows = split_windows(text, len(text), room)
    assert list(merge_entities(text, windows, [found_in(text, window) for window in windows])) == find(text)


def found_in(text: str, window: Window) -> list[Entity]:
    """Return what starts in the core, as the spaCy process does: with offsets inside the extent."""
    core, begin = window.core, window.extent.start
    found = find(text[begin : window.extent.end])
    return [entity for entity in found if core.start <= entity.start + begin < core.end]


def find(text: str) -> list[Entity]:
    return [
        Entity(word[0], "LOC", word.start(), word.end()) for word in re.finditer(r"\b(Köln|Otto)\b", text)
    ]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("aaa. bbb\nccc\n\nddd eee. ff", 14),
        ("aaa. bbb\nccc ddd eee. fff ", 9),
        ("aaa. bbb ccc ddd eee fff g", 5),
        ("aaaa bbb ccc ddd eee fff g", 25),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaa", 26),
    ],
    ids=["paragraph", "line", "sentence", "word", "no border"],
)
def test_a_text_is_split_at_the_best_break(text: str, end: int) -> None:
    assert find_break(text, 0, len(text)) == end


def test_a_cut_ends_between_words_and_leaves_short_texts_alone() -> None:
    assert truncated_length("Köln und Bonn", 100) == 13
    assert truncated_length("wort " * 30, 44) == 40


def window(core: tuple[int, int], extent: tuple[int, int]) -> Window:
    return Window(Span(*core), Span(*extent))


def test_an_entity_may_cross_the_end_of_its_core() -> None:
    text = "in Frankfurt am Main heute"
    windows = (window((0, 12), (0, 22)), window((12, 26), (3, 26)))
    whole = Entity("Frankfurt am Main", "LOC", 3, 20)
    assert merge_entities(text, windows, ([whole], [])) == (whole,)


def test_an_entity_that_its_window_cuts_is_extended_to_the_word() -> None:
    text = f"in {'x' * 30} Köln"
    windows = (window((0, 15), (0, 20)), window((15, 38), (10, 38)))
    cut, town = Entity("x" * 17, "MISC", 3, 20), Entity("Köln", "LOC", 24, 28)
    assert merge_entities(text, windows, ([cut], [town])) == (
        Entity("x" * 30, "MISC", 3, 33),
        Entity("Köln", "LOC", 34, 38),
    )


def test_overlapping_entities_are_joined_or_the_earlier_one_stays() -> None:
    text = "x" * 100
    windows = (window((0, 50), (0, 60)), window((50, 100), (40, 100)))
    early = Entity("", "PER", 45, 55)
    assert merge_entities(text, windows, ([early], [Entity("", "PER", 12, 20)])) == (
        Entity("x" * 15, "PER", 45, 60),
    )
    assert merge_entities(text, windows, ([early], [Entity("", "ORG", 12, 20)])) == (
        Entity("x" * 10, "PER", 45, 55),
    )


def test_windows_too_small_to_overlap_are_an_error() -> None:
    with pytest.raises(ValueError, match="too small"):
        split_windows("some text", 9, 7)
