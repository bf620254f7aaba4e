"""Responses in JSON are those of Google's codec."""

import json
import math
import random

import pytest
from google.protobuf import json_format

from qda.v1 import embedding_pb2
from qda_worker.conversion.json_responses import build_json
from tests.support.random_messages import message_types, random_message


def test_every_message_is_written_as_googles_codec_writes_it() -> None:
    chance = random.Random(3)
    for descriptor in message_types():
        for _ in range(5):
            message = random_message(descriptor, chance)
            expected = json_format.MessageToJson(message, always_print_fields_with_no_presence=True)
            written = json.loads(build_json(message))
            assert written == json.loads(expected)
            parsed = json_format.Parse(build_json(message), type(message)())
            assert parsed.SerializeToString(deterministic=True) == message.SerializeToString(
                deterministic=True
            )


def test_numbers_of_float32_have_the_fewest_digits_that_give_them_back() -> None:
    vector = embedding_pb2.Tensor(values=[0.1, 1 / 3, 1e-7, 0.0, math.inf])
    assert b'"values":[0.1,0.33333334,1e-07,0.0,"Infinity"]' in build_json(vector)


def test_a_number_that_is_none_is_written_as_a_text() -> None:
    vector = embedding_pb2.Tensor(values=[math.nan, -math.inf])
    assert json.loads(build_json(vector))["values"] == ["NaN", "-Infinity"]


@pytest.mark.parametrize("text", ["", "Köln", "\x00", "𝔘"])
def test_text_is_written_as_it_is(text: str) -> None:
    built = build_json(embedding_pb2.EmbedRequest(model=text))
    assert json.loads(built)["model"] == text
