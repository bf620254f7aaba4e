"""What protobuf refuses is explained: which string is not UTF-8, or that the bytes are no message."""

from typing import Final

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import paraphrase_pb2, processing_pb2, sentiment_pb2, text_pb2
from qda_worker.conversion.parse_errors import explain, guarded_parser
from qda_worker.errors import ArgumentInvalid, TextNotUtf8

DESCRIPTOR: Final = sentiment_pb2.AnalyzeSentimentRequest.DESCRIPTOR
PARSE: Final = guarded_parser(sentiment_pb2.AnalyzeSentimentRequest.FromString, DESCRIPTOR)
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
def test_the_bad_string_is_found_wherever_it_stands(
    before: list[str], after: list[str], bad: bytes, in_id: bool
) -> None:
    mark = text_pb2.Text(id=MARK) if in_id else text_pb2.Text(content=MARK)
    texts = [
        *(text_pb2.Text(content=each) for each in before),
        mark,
        *(text_pb2.Text(content=each) for each in after),
    ]
    broken = (bad * 4)[: len(MARK)]  # lengths stay right
    data = request(texts).replace(MARK.encode(), broken)
    error = PARSE(data)
    assert isinstance(error, TextNotUtf8)
    field = "id" if in_id else "content"
    assert [violation.field for violation in error.violations] == [f"texts[{len(before)}].{field}"]


@given(st.binary(max_size=80))
def test_any_bytes_give_a_message_or_an_error_never_an_exception(data: bytes) -> None:
    try:
        sentiment_pb2.AnalyzeSentimentRequest.FromString(data)
    except DecodeError:
        assert isinstance(PARSE(data), TextNotUtf8 | ArgumentInvalid)
    else:
        assert isinstance(PARSE(data), sentiment_pb2.AnalyzeSentimentRequest)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_message_cut_short_is_no_message(cut: int) -> None:
    data = request([text_pb2.Text(content="Köln")])[:-cut]
    error = explain(data, DESCRIPTOR)
    assert isinstance(error, ArgumentInvalid)
    assert "qda.v1.AnalyzeSentimentRequest" in error.message


def test_nested_parts_of_a_stream_are_named_in_full() -> None:
    chunk = paraphrase_pb2.TextChunk(texts=[text_pb2.Text(content="gut"), text_pb2.Text(content=MARK)])
    data = (
        paraphrase_pb2.FindParaphrasesRequest(texts=chunk)
        .SerializeToString()
        .replace(b"MARK", b"\xff\xff\xff\xff")
    )
    error = explain(data, paraphrase_pb2.FindParaphrasesRequest.DESCRIPTOR)
    assert [violation.field for violation in error.violations] == ["texts.texts[1].content"]
