"""Offsets select the same words of a text in every encoding."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.offsets import OffsetEncoding, Offsets, convert_spans

PARTS: Final = st.sampled_from(
    ["Köln", "😀", "👩‍👩‍👧", "u\u0308", "\r\n", "\x00", "a", "עברית", "\ufeff", "𝔘", "€"]
)
TEXTS: Final = st.lists(PARTS | st.text(max_size=3), max_size=10).map(
    "".join
)  # st.text makes no lone surrogates


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    text = draw(TEXTS)
    borders = st.integers(0, len(text))
    spans = draw(st.lists(st.tuples(borders, borders).map(lambda pair: (min(pair), max(pair))), max_size=8))
    return text, spans


@given(texts_with_spans())
def test_utf8_spans_select_the_same_words_in_the_bytes(case: tuple[str, list[tuple[int, int]]]) -> None:
    text, spans = case
    encoded = text.encode()
    found = convert_spans(text, spans, OffsetEncoding.UTF8)
    assert [encoded[start:end].decode() for start, end in found] == [text[start:end] for start, end in spans]


@given(texts_with_spans())
def test_utf16_spans_select_the_same_words_in_the_code_units(case: tuple[str, list[tuple[int, int]]]) -> None:
    text, spans = case
    encoded = text.encode("utf-16-le")
    found = convert_spans(text, spans, OffsetEncoding.UTF16)
    words = [encoded[2 * start : 2 * end].decode("utf-16-le") for start, end in found]
    assert words == [text[start:end] for start, end in spans]


@given(texts_with_spans())
def test_code_point_offsets_are_unchanged(case: tuple[str, list[tuple[int, int]]]) -> None:
    text, spans = case
    assert convert_spans(text, spans, OffsetEncoding.CODE_POINT) == spans


@pytest.mark.parametrize("encoding", OffsetEncoding)
@pytest.mark.parametrize("text", ["abc", "Köl"])
@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_text_is_an_error(encoding: OffsetEncoding, text: str, offset: int) -> None:
    with pytest.raises(IndexError, match="outside a text of 3 code points"):
        Offsets(text, encoding).at(offset)
