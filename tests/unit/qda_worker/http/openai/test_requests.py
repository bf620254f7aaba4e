"""The body of an embeddings request: what is accepted, and what is refused with which field."""

from typing import Any

import pytest

from qda.v1 import text_pb2
from qda_worker.errors import ArgumentInvalid, TextNotUtf8, TooManyTexts, WorkerError
from qda_worker.http.openai.requests import (
    EmbeddingsRequest,
    EncodingFormat,
    UnknownField,
    build_embed_request,
    parse_embeddings,
)
from qda_worker.limits import MAX_TEXTS


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": "Text", **fields}


def refused(value: object) -> WorkerError:
    with pytest.raises(ArgumentInvalid) as caught:
        parse_embeddings(value)
    return caught.value


def test_a_string_and_a_list_of_strings_are_texts_in_their_order() -> None:
    assert parse_embeddings(body(input="Ä 😀")).texts == ("Ä 😀",)
    assert parse_embeddings(body(input=["b", "a", ""])).texts == ("b", "a", "")


def test_fields_that_are_absent_or_null_have_the_defaults_of_the_api() -> None:
    optional = ("encoding_format", "dimensions", "user", "prompt_name", "long_text_policy")
    plain = parse_embeddings(body())
    assert plain == EmbeddingsRequest(("Text",), "m")
    assert plain.encoding_format is EncodingFormat.FLOAT
    assert parse_embeddings(body(**dict.fromkeys(optional))) == plain


def test_every_field_is_read() -> None:
    parsed = parse_embeddings(
        body(encoding_format="base64", dimensions=256.0, user="u", prompt_name="p", long_text_policy="window")
    )
    assert parsed == EmbeddingsRequest(
        ("Text",), "m", EncodingFormat.BASE64, 256, "u", "p", text_pb2.LONG_TEXT_POLICY_WINDOW
    )


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]], [1.5], [[]], ["text", 7]])
def test_token_ids_are_refused_with_the_setting_of_langchain(tokens: list[Any]) -> None:
    error = refused(body(input=tokens))
    assert error.message == "input holds token ids and no text"
    assert "check_embedding_ctx_length=False" in error.remedy
    assert [each.field for each in error.violations] == ["input"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": {"text": "x"}}, "input"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": ["a", ["b"]]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": ["m"]}, "model"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"encoding_format": 1}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": -1}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"dimensions": "256"}, "dimensions"),
        ({"dimensions": 2**31}, "dimensions"),
        ({"dimensions": 10**400}, "dimensions"),
        ({"dimensions": float("inf")}, "dimensions"),
        ({"user": 5}, "user"),
        ({"long_text_policy": "CUT"}, "long_text_policy"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(fields: dict[str, Any], field: str) -> None:
    error = refused(body(**fields))
    assert [each.field for each in error.violations] == [field]
    assert error.remedy


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    assert refused(value).message.startswith("the body is ")


def test_an_unknown_field_is_refused_and_quoted_only_if_it_looks_like_a_name() -> None:
    error = refused(body(promt_name="query"))
    assert isinstance(error, UnknownField)
    assert "prompt_name" in error.remedy
    assert [each.field for each in error.violations] == ["promt_name"]
    for sentence in ("Frau Maier sagte, sie sei krank", "a\nb" * 100, "Straße", ""):
        error = refused(body(**{sentence: 1}))
        assert error.message == "unknown field"
        assert [each.field for each in error.violations] == [""]


@pytest.mark.parametrize("name", ["encoding_format", "long_text_policy"])
def test_a_value_is_quoted_only_if_it_is_one_word(name: str) -> None:
    assert '"flaot"' in refused(body(**{name: "flaot"})).message
    assert "Maier" not in str(refused(body(**{name: "Frau Maier sagte, sie sei krank"})))


def test_more_texts_than_the_limit_are_refused() -> None:
    assert len(parse_embeddings(body(input=["x"] * MAX_TEXTS)).texts) == MAX_TEXTS
    with pytest.raises(TooManyTexts):
        parse_embeddings(body(input=["x"] * (MAX_TEXTS + 1)))


def test_no_message_contains_a_text() -> None:
    for fields in ({"input": ["secret", None]}, {"input": {"secret": 1}}):
        assert "secret" not in str(refused(body(**fields)))


def test_the_request_of_the_method_has_the_same_texts_and_options() -> None:
    parsed = parse_embeddings(body(input=["a", "b"], dimensions=3, long_text_policy="error"))
    message = build_embed_request(parsed, "key", "query")
    assert [text.content for text in message.texts] == ["a", "b"]
    assert (message.model, message.options.dimension_count, message.prompt_name) == ("key", 3, "query")
    assert message.long_text_policy == text_pb2.LONG_TEXT_POLICY_ERROR


def test_half_a_surrogate_pair_is_refused_with_its_place() -> None:
    with pytest.raises(TextNotUtf8) as caught:
        build_embed_request(parse_embeddings(body(input=["a", "\ud83d"])), "key", "")
    assert [each.field for each in caught.value.violations] == ["input[1]"]
