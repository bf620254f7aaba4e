"""Texts that cannot be sent are detected before anything is sent, and named by their position."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.client.errors import InvalidRequest
from qda_worker.client.texts import Pair, Text, pair_messages, text_messages


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_sent_unchanged(content: str) -> None:
    [message] = text_messages([Text(content, id="i", language="de")])
    assert (message.content, message.id, message.language_code) == (content, "i", "de")


@pytest.mark.parametrize(
    ("texts", "reason", "place"),
    [
        ([], "ARGUMENT_INVALID", "texts"),
        (["gut", "halb\ud83d"], "TEXT_NOT_UTF8", "texts[1].content"),
        (["gut", "x" * (16 * 2**20)], "TEXT_TOO_LONG", "texts[1].content"),
        ([Text("gut", id="ü" * 129)], "ARGUMENT_INVALID", "texts[0].id"),
        ([Text("gut", id="\udc80")], "TEXT_NOT_UTF8", "texts[0].id"),
        ([Text("gut", language="\udc80")], "TEXT_NOT_UTF8", "texts[0].language"),
    ],
)
def test_a_text_that_cannot_be_sent_is_named(texts: list[str | Text], reason: str, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        text_messages(texts)
    assert caught.value.reason == reason
    assert place in caught.value.message
    assert caught.value.remedy


def test_the_position_of_a_lone_surrogate_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"U\+D83D\) at position 4"):
        text_messages(["halb\ud83d"])


def test_an_empty_text_is_sent() -> None:
    assert [message.content for message in text_messages(["", "gut"])] == ["", "gut"]


@pytest.mark.parametrize("texts", ["one string", Text("one text"), [b"bytes"], [None]])
def test_anything_but_a_list_of_texts_is_a_type_error(texts: Any) -> None:
    with pytest.raises(TypeError, match="texts"):
        text_messages(texts)


def test_pairs_are_tuples_or_pair_objects() -> None:
    first, second = pair_messages([("a", Text("b", id="B")), Pair("c", "d", id="cd")])
    assert (first.first.content, first.second.id, second.id) == ("a", "B", "cd")


@pytest.mark.parametrize("pairs", [[("only one",)], [("a", "b", "c")], [7]])
def test_anything_but_a_pair_is_a_type_error(pairs: Any) -> None:
    with pytest.raises(TypeError, match=r"pairs\[0\]"):
        pair_messages(pairs)


def test_the_invalid_text_of_a_pair_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"pairs\[1\]\.second\.content"):
        pair_messages([("a", "b"), ("a", "\ud800")])
