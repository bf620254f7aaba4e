"""Texts that cannot be sent are detected before anything is sent, and do not affect the others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.client.errors import InvalidRequest
from qda_worker.client.item_problems import Problems
from qda_worker.client.results import ItemError
from qda_worker.client.texts import InvalidText, Pair, Text, pair_messages, text_messages


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_sent_unchanged(content: str) -> None:
    [message] = text_messages([Text(content, id="i", language="de")], {})
    assert (message.content, message.id, message.language_code) == (content, "i", "de")


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        (
            "halb\ud83d",
            "TEXT_NOT_UTF8",
            "the text has half a character (a lone surrogate, U+D83D) at position 4",
        ),
        ("\udc80", "TEXT_NOT_UTF8", "U+DC80) at position 0"),
        ("x" * (16 * 2**20), "TEXT_TOO_LONG", "16,777,2"),
        (Text("gut", id="ü" * 129), "ARGUMENT_INVALID", "the id of the text is longer than 256 bytes"),
        (Text("gut", id="\udc80"), "TEXT_NOT_UTF8", "the id of the text"),
        (Text("gut", language="\udc80"), "TEXT_NOT_UTF8", "the language of the text"),
        (InvalidText("", id="7", error=ItemError("TEXT_EMPTY", "line 7")), "TEXT_EMPTY", "line 7"),
    ],
)
def test_a_text_that_cannot_be_sent_leaves_the_others(text: str | Text, reason: str, words: str) -> None:
    problems: Problems = {}
    sent = text_messages(["gut", text, "auch gut"], problems)
    assert [message.content for message in sent] == ["gut", "", "auch gut"]
    assert list(problems) == [1]
    assert problems[1].error.reason == reason
    assert words in problems[1].error.message
    assert problems[1].id == (text.id if isinstance(text, Text) else "")


def test_an_empty_text_is_sent() -> None:
    assert [message.content for message in text_messages(["", "gut"], {})] == ["", "gut"]


@pytest.mark.parametrize("texts", ["one string", Text("one text"), [b"bytes"], [None]])
def test_anything_but_a_list_of_texts_is_a_type_error(texts: Any) -> None:
    with pytest.raises(TypeError, match="texts"):
        text_messages(texts, {})


def test_pairs_are_tuples_or_pair_objects() -> None:
    first, second = pair_messages([("a", Text("b", id="B")), Pair("c", "d", id="cd")], {})
    assert (first.first.content, first.second.id, second.id) == ("a", "B", "cd")


@pytest.mark.parametrize("pairs", [[("only one",)], [("a", "b", "c")], [7]])
def test_anything_but_a_pair_is_a_type_error(pairs: Any) -> None:
    with pytest.raises(TypeError, match=r"pairs\[0\]"):
        pair_messages(pairs, {})


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("a", "\ud800"), "the second text has half a character"),
        (("\ud800", "a"), "the first text has half a character"),
        (Pair("a", "b", id="x" * 257), "the id of the pair is longer"),
        (("a" * 9_000_000, "b" * 9_000_000), "the pair has 18,000,0"),
    ],
)
def test_a_pair_that_cannot_be_sent_leaves_the_others(pair: Pair | tuple[str, str], words: str) -> None:
    problems: Problems = {}
    sent = pair_messages([("a", "b"), pair], problems)
    assert (sent[0].second.content, sent[1].first.content, sent[1].second.content) == ("b", "", "")
    assert words in problems[1].error.message


def test_a_list_without_texts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="texts is empty"):
        text_messages([], {})
