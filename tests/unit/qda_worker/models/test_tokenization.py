"""Windows cover a text without gaps, and no text is cut unless its caller allows it."""

import gc
import weakref
from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qda_worker.errors import TextTooLong
from qda_worker.models.base import LongText
from qda_worker.models.tokenization import (
    TextTokenizer,
    choose_spans,
    weighted_mean,
    window_overlap,
    window_spans,
)
from qda_worker.sentences.span import Span

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


def fast_tokenizer(words: str) -> PreTrainedTokenizerFast:
    """Return a new fast tokenizer that knows some words."""
    vocabulary = {word: number for number, word in enumerate(["<unk>", *words.split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")  # type: ignore[no-untyped-call]


def test_equal_vocabularies_are_one_in_memory_under_different_settings() -> None:
    tokenizers = [fast_tokenizer("ein haus"), fast_tokenizer("ein haus"), fast_tokenizer("haus ein")]
    tokenizers[1].backend_tokenizer.normalizer = normalizers.Lowercase()
    wrapped = [TextTokenizer(tokenizer, 10) for tokenizer in tokenizers]
    first, second, third = (tokenizer.backend_tokenizer.model for tokenizer in tokenizers)

    first.unk_token = "changed"
    assert (second.unk_token, third.unk_token) == ("changed", "<unk>")
    first.unk_token = "<unk>"
    ids = [
        tokenizer.prepare("ein haus EIN", LongText.ERROR).units[0].payload.tolist() for tokenizer in wrapped
    ]
    assert ids == [[1, 2, 0], [1, 2, 1], [2, 1, 0]]
    assert wrapped[1].tokens([2, 1]) == ("haus", "ein")


def test_a_vocabulary_outlives_the_tokenizer_that_came_with_it() -> None:
    first = TextTokenizer(fast_tokenizer("nur kurz da"), 10)
    backend = weakref.ref(first._encode._backend)  # type: ignore[union-attr]
    second = fast_tokenizer("nur kurz da")
    encoded = TextTokenizer(second, 10).prepare("kurz da", LongText.ERROR).units[0].payload.tolist()
    del first
    gc.collect()
    assert backend() is None, "the second one needs its vocabulary only"
    third = fast_tokenizer("nur kurz da")
    TextTokenizer(third, 10)

    second.backend_tokenizer.model.unk_token = "changed"
    assert third.backend_tokenizer.model.unk_token == "changed"
    assert encoded == [2, 3]
