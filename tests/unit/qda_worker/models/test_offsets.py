"""Offsets select the same words of a text in every encoding."""

from typing import Final, SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.offsets import OffsetEncoding, convert_spans

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
        convert_spans(text, [(0, 1), (min(offset, 1), offset)], encoding)


class CountingText(str):
    """A text that counts the characters which are taken out of it."""

    __slots__ = ("taken",)

    taken: int

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        self.taken += len(part)
        return part


@pytest.mark.parametrize("encoding", [OffsetEncoding.UTF8, OffsetEncoding.UTF16])
def test_each_character_is_encoded_once_however_many_spans_there_are(encoding: OffsetEncoding) -> None:
    """Spans may overlap, repeat each other, and come in any order."""
    text = CountingText("Köln 😀 " * 100)
    text.taken = 0
    spans = [(start, end) for start in range(0, len(text), 7) for end in range(start, len(text), 90)]
    assert len(convert_spans(text, [*spans, *reversed(spans)], encoding)) == 2 * len(spans)
    assert text.taken <= len(text)
