"""Vectors as JSON in both formats, usage, and the headers about truncation."""

import json
from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import embedding_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.http.openai.requests import EncodingFormat
from qda_worker.http.openai.responses import (
    CUT_COUNT_HEADER,
    CUT_HEADER,
    build_embeddings,
    first_failure,
    truncation_headers,
)

FLOAT, BASE64 = EncodingFormat.FLOAT, EncodingFormat.BASE64


def response(*vectors: list[float], cut: tuple[int, ...] = ()) -> pb.EmbedResponse:
    message = pb.EmbedResponse()
    message.provenance.model = "key"
    for index, vector in enumerate(vectors):
        result = message.results.add()
        result.dense.data = np.array(vector, "<f4").tobytes()
        result.usage.token_count, result.usage.used_token_count = 9, 4
        result.usage.outcome = (
            text_pb2.LONG_TEXT_OUTCOME_CUT if index in cut else text_pb2.LONG_TEXT_OUTCOME_WHOLE
        )
    return message


def test_the_body_has_the_form_of_the_api() -> None:
    assert json.loads(build_embeddings(response([0.5, -1.0], [2.0, 0.25]), FLOAT)) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0, 0.25]},
        ],
        "model": "key",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_both_formats_give_back_the_same_float32(values: list[float]) -> None:
    message = response(values)
    listed = json.loads(build_embeddings(message, FLOAT))["data"][0]["embedding"]
    encoded = json.loads(build_embeddings(message, BASE64))["data"][0]["embedding"]
    expected = np.array(values, np.float32)
    np.testing.assert_array_equal(np.array(listed, np.float32), expected)
    np.testing.assert_array_equal(np.frombuffer(b64decode(encoded, validate=True), "<f4"), expected)


def test_without_truncation_there_are_no_headers() -> None:
    assert truncation_headers(response([1.0], [1.0])) == []


@pytest.mark.parametrize(
    ("cut", "expected"),
    [((3,), "3"), ((0, 1), "0-1"), ((0, 2, 3, 4, 9), "0,2-4,9"), (tuple(range(10)), "0-9")],
)
def test_headers_tell_which_texts_were_cut(cut: tuple[int, ...], expected: str) -> None:
    headers = dict(truncation_headers(response(*[[1.0]] * 10, cut=cut)))
    assert headers == {CUT_COUNT_HEADER: str(len(cut)), CUT_HEADER: expected}


def test_a_long_list_is_shortened_at_a_comma_and_the_count_is_exact() -> None:
    headers = dict(truncation_headers(response(*[[1.0]] * 1000, cut=tuple(range(0, 1000, 2)))))
    assert headers[CUT_COUNT_HEADER] == "500"
    listed = headers[CUT_HEADER]
    assert len(listed) <= 1000
    assert listed.endswith(",...")
    numbers = [int(each) for each in listed.removesuffix(",...").split(",")]
    assert numbers == list(range(0, 2 * len(numbers), 2))


def test_the_first_text_that_failed_is_found() -> None:
    message = response([1.0], [1.0], [1.0])
    assert first_failure(message) is None
    message.results[1].status.code = 3
    message.results[2].status.code = 13
    found = first_failure(message)
    assert found is not None
    assert (found[0], found[1].code) == (1, 3)
