"""Messages that protobuf refuses: the string that is not UTF-8 is named, or the bytes are not a message."""

from typing import Final

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import paraphrase_pb2, processing_pb2, sentiment_pb2, text_pb2
from qda_worker.conversion.parse_errors import explain_parse_error, safe_parser
from qda_worker.errors import ArgumentInvalid, TextNotUtf8

DESCRIPTOR: Final = sentiment_pb2.AnalyzeSentimentRequest.DESCRIPTOR
PARSE: Final = safe_parser(sentiment_pb2.AnalyzeSentimentRequest.FromString, DESCRIPTOR)
MARK: Final = "MARK"


def request(texts: list[text_pb2.Text], model: str = "") -> bytes:
    bulk = processing_pb2.PRIORITY_BULK
    return sentiment_pb2.AnalyzeSentimentRequest(texts=texts, model=model, priority=bulk).SerializeToString()


@given(
    before=st.lists(st.text(max_size=20), max_size=5),
    after=st.lists(st.text(max_size=20), max_size=5),
    bad=st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80"]),
    in_id=st.booleans(),
)
def test_the_string_that_is_not_utf8_is_named_at_any_position(
    before: list[str], after: list[str], bad: bytes, in_id: bool
) -> None:
    marked = text_pb2.Text(id=MARK) if in_id else text_pb2.Text(content=MARK)
    texts = [
        *(text_pb2.Text(content=each) for each in before),
        marked,
        *(text_pb2.Text(content=each) for each in after),
    ]
    broken = (bad * 4)[: len(MARK)]  # lengths stay right
    data = request(texts).replace(MARK.encode(), broken)
    error = PARSE(data)
    assert isinstance(error, TextNotUtf8)
    field = "id" if in_id else "content"
    assert [violation.field for violation in error.violations] == [f"texts[{len(before)}].{field}"]


@given(st.binary(max_size=80))
def test_any_bytes_return_a_message_or_an_error_and_never_raise(data: bytes) -> None:
    try:
        sentiment_pb2.AnalyzeSentimentRequest.FromString(data)
    except DecodeError:
        assert isinstance(PARSE(data), TextNotUtf8 | ArgumentInvalid)
    else:
        assert isinstance(PARSE(data), sentiment_pb2.AnalyzeSentimentRequest)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_truncated_message_is_an_invalid_argument(cut: int) -> None:
    data = request([text_pb2.Text(content="Köln")])[:-cut]
    error = explain_parse_error(data, DESCRIPTOR)
    assert isinstance(error, ArgumentInvalid)
    assert "qda.v1.AnalyzeSentimentRequest" in error.message


def test_nested_fields_are_named_by_their_full_path() -> None:
    chunk = paraphrase_pb2.TextChunk(texts=[text_pb2.Text(content="gut"), text_pb2.Text(content=MARK)])
    data = (
        paraphrase_pb2.FindParaphrasesRequest(texts=chunk)
        .SerializeToString()
        .replace(b"MARK", b"\xff\xff\xff\xff")
    )
    error = explain_parse_error(data, paraphrase_pb2.FindParaphrasesRequest.DESCRIPTOR)
    assert [violation.field for violation in error.violations] == ["texts.texts[1].content"]
