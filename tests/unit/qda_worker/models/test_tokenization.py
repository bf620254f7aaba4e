"""Windows cover a text without gaps, and no text is cut unless its caller allows it."""

from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.errors import TextTooLong
from qda_worker.models.base import LongText, Span
from qda_worker.models.tokenization import choose_spans, weighted_mean, window_overlap, window_spans

ROOMS: Final = st.integers(1, 600)
LENGTHS: Final = st.integers(0, 5000)


@given(LENGTHS, ROOMS, st.data())
def test_windows_cover_the_text_with_the_given_overlap(length: int, room: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, room - 1).map(lambda value: min(value, room // 2)))
    spans = window_spans(length, room, overlap)
    assert spans[0].start == 0
    assert spans[-1].end == length
    assert all(span.length == room for span in spans[:-1])
    assert spans[-1].length <= room
    assert all(after.start == before.end - overlap for before, after in pairwise(spans))
    assert len(spans) == 1 or spans[-1].length > overlap


@given(LENGTHS, ROOMS, st.sampled_from(LongText))
def test_a_text_that_fits_is_read_whole_under_every_policy(length: int, room: int, policy: LongText) -> None:
    if length <= room:
        assert choose_spans(length, room, policy) == (Span(0, length),)


@given(st.integers(1, 600))
def test_one_token_too_many_is_refused_cut_or_windowed(room: int) -> None:
    with pytest.raises(TextTooLong, match=f"has {room + 3} tokens and the model reads {room + 2}"):
        choose_spans(room + 1, room, LongText.ERROR, special=2)
    assert choose_spans(room + 1, room, LongText.CUT) == (Span(0, room),)
    assert choose_spans(room + 1, room, LongText.CUT, keep_end=True) == (Span(1, room + 1),)
    assert choose_spans(room + 1, room, LongText.WINDOW) == window_spans(room + 1, room, window_overlap(room))


@pytest.mark.parametrize("overlap", [-1, 5, 6])
def test_an_overlap_as_long_as_the_window_is_an_error(overlap: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        window_spans(10, 5, overlap)


def test_a_window_of_twice_the_tokens_counts_twice() -> None:
    rows = [np.array([1.0, 0.0], np.float32), np.array([0.25, 0.75], np.float32)]
    np.testing.assert_allclose(weighted_mean(rows, [20, 10]), [0.75, 0.25], atol=1e-7)


def test_a_single_window_is_returned_unchanged() -> None:
    row = np.array([0.1, 0.9], np.float32)
    assert weighted_mean([row], [0]) is row
