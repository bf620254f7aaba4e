"""Requests in JSON give the messages that Google's codec gives; what is wrong is named by its path, and not quoted."""

import json
import random
from typing import Any, Final

import pytest
from google.protobuf import json_format

from qda.v1 import embedding_pb2, paraphrase_pb2, sentiment_pb2
from qda_worker.conversion.json_requests import parse_json
from qda_worker.conversion.json_text import MAX_JSON_TOKENS
from qda_worker.errors import ArgumentInvalid, TextNotUtf8, TooManyTexts
from qda_worker.limits import MAX_VIOLATIONS
from tests.support.random_messages import message_types, random_message

SENTIMENT: Final = sentiment_pb2.AnalyzeSentimentRequest.DESCRIPTOR


def parse(value: Any, descriptor: Any = SENTIMENT) -> Any:
    return parse_json(value if isinstance(value, bytes) else json.dumps(value).encode(), descriptor)


def test_every_message_is_read_as_googles_codec_writes_it() -> None:
    chance = random.Random(7)
    for descriptor in message_types():
        for _ in range(5):
            message = random_message(descriptor, chance)
            text = json_format.MessageToJson(message, preserving_proto_field_name=chance.random() < 0.5)
            assert parse_json(text.encode(), descriptor) == message


def test_a_text_with_a_mark_of_byte_order_and_values_of_null_are_read() -> None:
    message = parse(b'\xef\xbb\xbf{"texts": [{"content": "K\xc3\xb6ln", "id": null}], "model": null}')
    assert [text.content for text in message.texts] == ["Köln"]


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"texts": [{"content": 5}]}, "texts[0].content", "a string is expected, not a number"),
        ({"texts": [{}, {"content": True}]}, "texts[1].content", "not true or false"),
        ({"texts": [None]}, "texts[0]", "not null"),
        ({"texts": {}}, "texts", "a list is expected, not an object"),
        ({"texts": [[]]}, "texts[0]", "an object is expected, not a list"),
        ({"includeSentences": 1}, "include_sentences", "true or false is expected"),
        ({"priority": "HIGH"}, "priority", "one of PRIORITY_UNSPECIFIED"),
        ({"priority": 2**31}, "priority", "one of"),
        ({"include_sentences": True, "includeSentences": True}, "include_sentences", "both of its names"),
        ({"texts": [{"contents": "x"}]}, "texts[0].contents", 'did you mean "content"?'),
        ({"texts": [{"ein Satz": 1}]}, "texts[0]", "unknown field of qda.v1.Text"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(value: Any, path: str, words: str) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        parse(value)
    (violation,) = caught.value.violations
    assert violation.field == path
    assert words in violation.description
    assert "ein Satz" not in str(caught.value)


def test_numbers_are_checked_against_the_type_of_their_field() -> None:
    options = embedding_pb2.EmbedRequest.DESCRIPTOR
    assert parse({"options": {"dimensionCount": "8"}}, options).options.dimension_count == 8
    assert parse({"options": {"dimensionCount": 8.0}}, options).options.dimension_count == 8
    wrongs: list[Any] = [-(2**31) - 1, 2**31, 1.5, "8x", "", True, [8], 1e300]
    for wrong in wrongs:
        with pytest.raises(ArgumentInvalid, match="a whole number from -2147483648 to 2147483647"):
            parse({"options": {"dimensionCount": wrong}}, options)


def test_floats_are_read_from_numbers_and_texts() -> None:
    fields = paraphrase_pb2.FindParaphrasesSettings.DESCRIPTOR
    name = next(field.name for field in fields.fields if field.cpp_type in (5, 6))
    for value, number in ((1, 1.0), (0.5, 0.5), ("0.5", 0.5), ("-Infinity", float("-inf"))):
        assert getattr(parse({name: value}, fields), name) == pytest.approx(number)
    wrongs: list[Any] = ["half", "", False, {}, 10**400, 1e39, "1e39", "1e999", "-1e999"]
    for wrong in wrongs:
        with pytest.raises(ArgumentInvalid):
            parse({name: wrong}, fields)
    for literal in (b"1e999", b"-1e999"):
        with pytest.raises(ArgumentInvalid, match=f"{name}: the number is too large"):
            parse(b'{"%s": %s}' % (name.encode(), literal), fields)


def test_bytes_are_read_from_both_alphabets_of_base64() -> None:
    vector = embedding_pb2.Tensor.DESCRIPTOR
    for text in ("-_8=", "+/8=", "-_8"):
        assert parse({"data": text}, vector).data == b"\xfb\xff"
    with pytest.raises(ArgumentInvalid, match="base64"):
        parse({"data": "!"}, vector)


def test_members_of_a_oneof_exclude_each_other() -> None:
    with pytest.raises(ArgumentInvalid, match="cannot be set together with settings"):
        parse({"settings": {}, "texts": {}}, paraphrase_pb2.FindParaphrasesRequest.DESCRIPTOR)


def test_every_string_that_is_not_utf8_is_named_up_to_a_limit() -> None:
    with pytest.raises(TextNotUtf8) as caught:
        parse({"texts": [{"content": "a"}, *({"content": "\ud800"} for _ in range(30))]})
    assert len(caught.value.violations) == MAX_VIOLATIONS
    assert caught.value.violations[0].field == "texts[1].content"


def test_a_wrong_type_beside_it_makes_another_error() -> None:
    with pytest.raises(ArgumentInvalid):
        parse({"texts": [{"content": "\ud800"}], "model": 5})


def test_commas_and_brackets_in_texts_are_not_counted() -> None:
    content = '\\"{[,:' * (MAX_JSON_TOKENS // 2)
    assert parse({"texts": [{"content": content}]}).texts[0].content == content


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'"",', b'"\\"",', b'{"a":1},'])
def test_too_many_values_are_refused_before_they_are_decoded(unit: bytes) -> None:
    with pytest.raises(TooManyTexts):
        parse(b'{"texts":[' + unit * MAX_JSON_TOKENS + b"0]}")
