"""Parting a long text for spaCy loses no entity, and none is found twice."""

import re
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.base import Span
from qda_worker.models.entity_windows import (
    Entity,
    Window,
    border_before,
    cut_length,
    join_windows,
    text_windows,
)

WORDS: Final = st.sampled_from(
    ["Köln", "in", "der", "Stadt.", "Ja!", "\n", "\n\n", "😀", "Otto", "«Nein.»", "x" * 30]
)
LONG_TEXTS: Final = st.lists(WORDS, max_size=120).map(" ".join)
ROOMS: Final = st.integers(8, 200)


@given(LONG_TEXTS, ROOMS)
def test_cores_cover_the_text_and_windows_fit(text: str, room: int) -> None:
    windows = text_windows(text, len(text), room)
    assert (windows[0].core.start, windows[-1].core.end) == (0, len(text))
    assert all(before.core.end == after.core.start for before, after in pairwise(windows))
    for window in windows:
        assert window.reach.length <= room
        assert (
            0 <= window.reach.start <= window.core.start <= window.core.end <= window.reach.end <= len(text)
        )
    assert all(before.reach.end > before.core.end > after.reach.start for before, after in pairwise(windows))
    assert (len(windows) == 1) == (len(text) <= room)


@given(LONG_TEXTS, ROOMS, st.integers(0, 50))
def test_windows_of_a_cut_text_do_not_look_behind_the_cut(text: str, room: int, cut: int) -> None:
    windows = text_windows(text, max(0, len(text) - cut), room)
    assert max(window.reach.end for window in windows) == max(0, len(text) - cut)


@given(LONG_TEXTS, st.integers(80, 200))
def test_entities_found_in_windows_are_those_of_the_whole_text(text: str, room: int) -> None:
    """With a finder that sees a word as an entity only if it sees the word whole."""
    windows = text_windows(text, len(text), room)
    assert list(join_windows(text, windows, [found_in(text, window) for window in windows])) == find(text)


def found_in(text: str, window: Window) -> list[Entity]:
    """What begins in the core, as the entity process tells it: with offsets in the reach."""
    core, begin = window.core, window.reach.start
    found = find(text[begin : window.reach.end])
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
def test_a_text_is_parted_at_the_best_border_there_is(text: str, end: int) -> None:
    assert border_before(text, 0, len(text)) == end


def test_a_cut_ends_between_words_and_leaves_short_texts_alone() -> None:
    assert cut_length("Köln und Bonn", 100) == 13
    assert cut_length("wort " * 30, 44) == 40


def window(core: tuple[int, int], reach: tuple[int, int]) -> Window:
    return Window(Span(*core), Span(*reach))


def test_an_entity_may_cross_the_border_that_it_begins_before() -> None:
    text = "in Frankfurt am Main heute"
    windows = (window((0, 12), (0, 22)), window((12, 26), (3, 26)))
    whole = Entity("Frankfurt am Main", "LOC", 3, 20)
    assert join_windows(text, windows, ([whole], [])) == (whole,)


def test_a_word_that_a_window_cuts_is_an_entity_as_a_whole() -> None:
    text = f"in {'x' * 30} Köln"
    windows = (window((0, 15), (0, 20)), window((15, 38), (10, 38)))
    cut, town = Entity("x" * 17, "MISC", 3, 20), Entity("Köln", "LOC", 24, 28)
    assert join_windows(text, windows, ([cut], [town])) == (
        Entity("x" * 30, "MISC", 3, 33),
        Entity("Köln", "LOC", 34, 38),
    )


def test_of_two_that_overlap_one_label_is_joined_and_of_two_labels_the_earlier_stays() -> None:
    text = "x" * 100
    windows = (window((0, 50), (0, 60)), window((50, 100), (40, 100)))
    early = Entity("", "PER", 45, 55)
    assert join_windows(text, windows, ([early], [Entity("", "PER", 12, 20)])) == (
        Entity("x" * 15, "PER", 45, 60),
    )
    assert join_windows(text, windows, ([early], [Entity("", "ORG", 12, 20)])) == (
        Entity("x" * 10, "PER", 45, 55),
    )


def test_windows_too_small_to_overlap_are_an_error() -> None:
    with pytest.raises(ValueError, match="too small"):
        text_windows("some text", 9, 7)
