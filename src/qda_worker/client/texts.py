"""The texts that go out: what a caller may hand in, checked one by one before anything is sent.

A text that could never travel is found here, with its place in the caller's list, instead of far away as a refused
message.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from qda.v1 import paraphrase_pb2, text_pb2
from qda_worker.client.errors import InvalidRequest, Violation
from qda_worker.limits import MAX_ID_BYTES, MAX_REQUEST_BYTES

_ROOM_FOR_THE_REST: Final = 4096  # bytes of a message beside its one text: model key, options, field headers


@dataclass(frozen=True, slots=True)
class Text:
    """One text, with the caller's own name for it and its language (BCP-47), if they are known.

    >>> Text("Ich war froh.", id="interview-3/12", language="de")
    Text(content='Ich war froh.', id='interview-3/12', language='de')
    """

    content: str
    id: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts to compare, with the caller's own name for the pair."""

    first: str | Text
    second: str | Text
    id: str = ""


def text_messages(texts: Iterable[str | Text], name: str = "texts") -> list[text_pb2.Text]:
    """The messages of all texts; `name` is what errors call the list.

    Raises:
        InvalidRequest: no text at all, or one that cannot be sent (its index is named).
        TypeError: a lone string, whose characters would be taken for texts, or something that is no text.
    """
    messages = list(iter_text_messages(texts, name))
    if not messages:
        raise InvalidRequest(f"{name} is empty", remedy="send at least one text")
    return messages


def iter_text_messages(texts: Iterable[str | Text], name: str) -> Iterator[text_pb2.Text]:
    """The same, one by one, for lists that do not fit memory; an empty one is no error here."""
    if isinstance(texts, str | Text):
        raise TypeError(f"{name} is one text where a list of texts is expected: write [text]")
    for index, text in enumerate(texts):
        yield text_message(text, f"{name}[{index}]")


def text_message(text: str | Text, place: str) -> text_pb2.Text:
    """The message of one text; `place` is where it stands, for errors: `texts[17]`."""
    if isinstance(text, str):
        text = Text(text)
    elif not isinstance(text, Text):
        raise TypeError(f"{place} is a {type(text).__name__}, not a str or a Text")
    message = text_pb2.Text(
        content=_checked(text.content, f"{place}.content"),
        id=_checked_id(text.id, f"{place}.id"),
        language_code=_checked(text.language, f"{place}.language"),
    )
    size = message.ByteSize()
    if size > MAX_REQUEST_BYTES - _ROOM_FOR_THE_REST:
        raise _invalid(
            "TEXT_TOO_LONG",
            f"{place}.content",
            f"has {size:,} bytes; a message takes {MAX_REQUEST_BYTES:,} at most",
            "split the text",
        )
    return message


def pair_messages(pairs: Iterable[Pair | tuple[str | Text, str | Text]]) -> list[paraphrase_pb2.TextPair]:
    """The messages of all pairs. Raises as `text_messages` does, and TypeError for what is no pair."""
    messages = []
    for index, given in enumerate(pairs):
        place = f"pairs[{index}]"
        pair = _pair(given, place)
        message = paraphrase_pb2.TextPair(
            first=text_message(pair.first, f"{place}.first"),
            second=text_message(pair.second, f"{place}.second"),
            id=_checked_id(pair.id, f"{place}.id"),
        )
        if message.ByteSize() > MAX_REQUEST_BYTES - _ROOM_FOR_THE_REST:
            raise _invalid("TEXT_TOO_LONG", place, "is larger than a message may be", "split its texts")
        messages.append(message)
    if not messages:
        raise InvalidRequest("pairs is empty", remedy="send at least one pair")
    return messages


def _pair(given: Pair | tuple[str | Text, str | Text], place: str) -> Pair:
    if isinstance(given, Pair):
        return given
    try:
        first, second = given
    except (TypeError, ValueError) as error:
        raise TypeError(f"{place} is not a Pair and not a tuple of two texts") from error
    return Pair(first, second)


def _checked(value: str, place: str) -> str:
    """A Python string can hold half a character (a lone surrogate), which UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _invalid(
            "TEXT_NOT_UTF8",
            place,
            f"has a lone surrogate (U+{ord(value[error.start]):04X}) at position {error.start}",
            'read the text with its true encoding, or replace such characters: text.encode(errors="replace")',
        ) from error
    return value


def _checked_id(value: str, place: str) -> str:
    if len(_checked(value, place).encode()) > MAX_ID_BYTES:
        raise _invalid("ARGUMENT_INVALID", place, f"is longer than {MAX_ID_BYTES} bytes", "use a shorter id")
    return value


def _invalid(reason: str, place: str, what: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(
        f"{place} {what}", reason=reason, remedy=remedy, violations=[Violation(place, what)]
    )
