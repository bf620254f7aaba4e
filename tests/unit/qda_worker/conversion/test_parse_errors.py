"""Messages that protobuf refuses: the string that is not UTF-8 is named, or the bytes are not a message."""

from typing import Final

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import paraphrase_pb2, processing_pb2, sentiment_pb2, text_pb2
from qda_worker.conversion.parse_errors import (
    MAX_BYTES_ON_LOOP,
    MAX_EXPLAIN_SECONDS,
    MAX_FIELDS,
    DeferredMessage,
    deferring_parser,
    explain_parse_error,
)
from qda_worker.errors import ArgumentInvalid, TextNotUtf8, TooManyTexts, WorkerError
from qda_worker.limits import MAX_TEXTS, MAX_VIOLATIONS

DESCRIPTOR: Final = sentiment_pb2.AnalyzeSentimentRequest.DESCRIPTOR
PARSE_ON_LOOP: Final = deferring_parser(sentiment_pb2.AnalyzeSentimentRequest.FromString, DESCRIPTOR)
MARK: Final = "MARK"
# Messages that protobuf or the explanation would take many times their length for.
EMPTY_TEXTS: Final = b"\x0a\x00" * (MAX_FIELDS + 1)
UNKNOWN_FIELDS: Final = b"\x78\x01" * (MAX_FIELDS + 1)
BAD_TEXTS: Final = b"\x0a\x03\x12\x01\xff" * MAX_FIELDS


def parse(data: bytes) -> Message | WorkerError:
    """Return what a handler gets: the message, or the error in its place."""
    parsed = PARSE_ON_LOOP(data)
    try:
        return parsed.parse() if isinstance(parsed, DeferredMessage) else parsed
    except WorkerError as error:
        return error


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
    error = parse(data)
    assert isinstance(error, TextNotUtf8)
    field = "id" if in_id else "content"
    assert [violation.field for violation in error.violations] == [f"texts[{len(before)}].{field}"]


@given(st.binary(max_size=80))
def test_any_bytes_return_a_message_or_an_error_and_never_raise(data: bytes) -> None:
    try:
        sentiment_pb2.AnalyzeSentimentRequest.FromString(data)
    except DecodeError:
        assert isinstance(parse(data), TextNotUtf8 | ArgumentInvalid)
    else:
        assert isinstance(parse(data), sentiment_pb2.AnalyzeSentimentRequest)


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


def test_only_what_is_short_and_well_formed_is_parsed_on_the_event_loop() -> None:
    short = request([text_pb2.Text(content="Köln")])
    long = request([text_pb2.Text(content="K" * MAX_BYTES_ON_LOOP)])
    assert isinstance(PARSE_ON_LOOP(short), sentiment_pb2.AnalyzeSentimentRequest)
    assert isinstance(PARSE_ON_LOOP(long), DeferredMessage)
    assert isinstance(PARSE_ON_LOOP(short[:-1]), DeferredMessage)
    assert parse(long) == sentiment_pb2.AnalyzeSentimentRequest.FromString(long)


@pytest.mark.parametrize("data", [EMPTY_TEXTS, UNKNOWN_FIELDS, BAD_TEXTS, EMPTY_TEXTS + b"\xff"])
def test_a_message_of_too_many_fields_is_refused_before_protobuf_reads_it(data: bytes) -> None:
    def parser(_: bytes) -> Message:
        raise AssertionError("protobuf would make an object of each field")

    with pytest.raises(TooManyTexts):
        DeferredMessage(data, parser, DESCRIPTOR).parse()


def test_the_largest_valid_request_is_far_below_the_limit_of_fields() -> None:
    data = request([text_pb2.Text(id=str(number), content="ja") for number in range(MAX_TEXTS)])
    large = data + request([text_pb2.Text(content="K" * 2 * MAX_FIELDS)])  # long enough to be counted
    assert isinstance(parse(large), sentiment_pb2.AnalyzeSentimentRequest)


@pytest.mark.parametrize("data", [BAD_TEXTS, BAD_TEXTS + b"\xff"])
def test_the_explanation_ends_at_the_last_field_that_it_may_name(data: bytes) -> None:
    error = explain_parse_error(data, DESCRIPTOR, clock=lambda: 0.0)
    assert isinstance(error, TextNotUtf8)
    assert len(error.violations) == MAX_VIOLATIONS


@pytest.mark.parametrize("data", [EMPTY_TEXTS, UNKNOWN_FIELDS])
def test_the_explanation_ends_after_so_many_fields(data: bytes) -> None:
    error = explain_parse_error(data, DESCRIPTOR, clock=lambda: 0.0)
    assert isinstance(error, ArgumentInvalid)
    assert f"the first {MAX_FIELDS} fields" in error.message


def test_the_explanation_ends_after_so_many_seconds() -> None:
    times = iter([0.0, MAX_EXPLAIN_SECONDS / 2, 2 * MAX_EXPLAIN_SECONDS])
    error = explain_parse_error(EMPTY_TEXTS, DESCRIPTOR, clock=lambda: next(times))
    assert isinstance(error, ArgumentInvalid)
    assert "the first 2048 fields" in error.message
