"""JSON from others: every mistake is one kind of error, and the memory is bounded."""

import tracemalloc

import pytest

from model_cache.json_values import MAX_VALUES, parse_json, parse_json_object


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 500_000,
        b'{"a":' * 200_000,
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b"1" * 5000,
    ],
    ids=[
        "empty",
        "cut",
        "no text",
        "deep list",
        "deep object",
        "half a pair",
        "half a pair as key",
        "long number",
    ],
)
def test_what_is_no_document_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(content)


@pytest.mark.parametrize("content", [b"5", b"null", b"[]", b'"text"', b"true"])
def test_an_object_is_asked_for(content: bytes) -> None:
    with pytest.raises(ValueError, match="where an object should be"):
        parse_json_object(content)


def test_pairs_of_escapes_are_characters() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_a_document_of_many_values_is_refused_before_it_takes_memory() -> None:
    content = b"[" + b"{}," * MAX_VALUES + b"0]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="values"):
        parse_json(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(content)
