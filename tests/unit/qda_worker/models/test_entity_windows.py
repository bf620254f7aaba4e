"""Parting a long text for spaCy loses no entity, and none is found twice."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.base import Span
from qda_worker.models.entity_windows import Entity, border_before, cut_length, join_windows, text_windows

WORDS = st.sampled_from(
    ["Köln", "in", "der", "Stadt.", "Ja!", "\n", "\n\n", "😀", "Otto", "«Nein.»", "x" * 30]
)
LONG_TEXTS = st.lists(WORDS, max_size=120).map(" ".join)
ROOMS = st.integers(8, 200)


@given(LONG_TEXTS, ROOMS)
def test_windows_cover_the_text_in_order_and_fit(text: str, room: int) -> None:
    windows = text_windows(text, room)
    assert (windows[0].start, windows[-1].end) == (0, len(text))
    assert all(window.length <= room for window in windows)
    for before, after in pairwise(windows):
        assert before.start < after.start <= before.end < after.end


@given(LONG_TEXTS, st.integers(80, 200))
def test_entities_found_in_windows_are_those_of_the_whole_text(text: str, room: int) -> None:
    """With a finder that sees a word as an entity only if it sees the word whole."""
    windows = text_windows(text, room)
    found = [find(text[window.start : window.end]) for window in windows]
    assert list(join_windows(text, windows, found)) == find(text)


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


def test_an_entity_that_a_border_cuts_is_joined_to_its_whole() -> None:
    text = "in Frankfurt am Main heute"
    windows = (Span(0, 12), Span(3, 26))
    cut, whole = Entity("Frankfurt", "LOC", 3, 12), Entity("Frankfurt am Main", "LOC", 0, 17)
    assert join_windows(text, windows, ([cut], [whole])) == (Entity("Frankfurt am Main", "LOC", 3, 20),)


def test_of_two_labels_the_one_farther_from_a_border_stays() -> None:
    text = "x" * 100
    windows = (Span(0, 60), Span(40, 100))
    near_border, far = Entity("", "ORG", 50, 58), Entity("", "PER", 10, 18)
    assert join_windows(text, windows, ([near_border], [far])) == (Entity("x" * 8, "PER", 50, 58),)
    assert join_windows(text, windows, ([Entity("", "ORG", 42, 48)], [Entity("", "PER", 2, 8)])) == (
        Entity("x" * 6, "ORG", 42, 48),
    )


def test_windows_too_small_to_overlap_are_an_error() -> None:
    with pytest.raises(ValueError, match="too small"):
        text_windows("some text", 7)
