"""Validates the caller's texts and pairs and converts them to protobuf messages.

What can never be sent (text that UTF-8 cannot encode, text larger than a message, an id that is too long) is detected
here, before anything is sent, and the error names the position in the caller's list: `texts[17].content`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from qda.v1 import paraphrase_pb2, text_pb2
from qda_worker.client.errors import InvalidRequest, Violation
from qda_worker.limits import MAX_ID_BYTES, MAX_REQUEST_BYTES

# Bytes of a request besides a single text: model key, options, field headers.
_REQUEST_OVERHEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class Text:
    """A text with its optional id and language.

    >>> Text("Ich war froh.", id="interview-3/12", language="de")
    Text(content='Ich war froh.', id='interview-3/12', language='de')

    Attributes:
        content: the text itself.
        id: the caller's own name for it, returned with its result; at most 256 bytes.
        language: BCP-47 code; empty if unknown.
    """

    content: str
    id: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts to compare, with the caller's own id for the pair."""

    first: str | Text
    second: str | Text
    id: str = ""


def text_messages(texts: Iterable[str | Text], name: str = "texts") -> list[text_pb2.Text]:
    """Return the messages of all texts.

    Args:
        texts: at least one.
        name: the name of the caller's argument, for errors.

    Raises:
        InvalidRequest: when there is no text, or one that cannot be sent (the error names its index).
        TypeError: when `texts` is a single text, or an item is not a text.
    """
    messages = list(iter_text_messages(texts, name))
    if not messages:
        raise InvalidRequest(f"{name} is empty", remedy="send at least one text")
    return messages


def iter_text_messages(texts: Iterable[str | Text], name: str) -> Iterator[text_pb2.Text]:
    """Yield the messages of texts that need not fit into memory; there may be none.

    Raises:
        InvalidRequest: when a text cannot be sent.
        TypeError: as for `text_messages`.
    """
    check_is_list(texts, name)
    for index, text in enumerate(texts):
        yield text_message(text, f"{name}[{index}]")


def check_is_list(texts: object, name: str) -> None:
    """Raise TypeError for a single text, whose characters would be taken for texts."""
    if isinstance(texts, str | Text):
        raise TypeError(f"{name} is one text where a list of texts is expected: write [text]")


def text_message(text: str | Text, path: str) -> text_pb2.Text:
    """Return the message of one text; `path` is its position for errors, `texts[17]` for instance.

    Raises:
        InvalidRequest: when the text cannot be sent.
        TypeError: when it is not a text.
    """
    if isinstance(text, str):
        text = Text(text)
    elif not isinstance(text, Text):
        raise TypeError(f"{path} is a {type(text).__name__}, not a str or a Text")
    message = text_pb2.Text(
        content=_checked(text.content, f"{path}.content"),
        id=_checked_id(text.id, f"{path}.id"),
        language_code=_checked(text.language, f"{path}.language"),
    )
    size = message.ByteSize()
    if size > MAX_REQUEST_BYTES - _REQUEST_OVERHEAD:
        raise _invalid(
            "TEXT_TOO_LONG",
            f"{path}.content",
            f"has {size:,} bytes; a message takes {MAX_REQUEST_BYTES:,} at most",
            "split the text",
        )
    return message


def pair_messages(pairs: Iterable[Pair | tuple[str | Text, str | Text]]) -> list[paraphrase_pb2.TextPair]:
    """Return the messages of all pairs.

    Raises:
        InvalidRequest: when there is no pair, or one with a text that cannot be sent.
        TypeError: when an item is neither a `Pair` nor a tuple of two texts.
    """
    messages = []
    for index, item in enumerate(pairs):
        path = f"pairs[{index}]"
        pair = _to_pair(item, path)
        message = paraphrase_pb2.TextPair(
            first=text_message(pair.first, f"{path}.first"),
            second=text_message(pair.second, f"{path}.second"),
            id=_checked_id(pair.id, f"{path}.id"),
        )
        if message.ByteSize() > MAX_REQUEST_BYTES - _REQUEST_OVERHEAD:
            raise _invalid("TEXT_TOO_LONG", path, "is larger than a message may be", "split its texts")
        messages.append(message)
    if not messages:
        raise InvalidRequest("pairs is empty", remedy="send at least one pair")
    return messages


def _to_pair(item: Pair | tuple[str | Text, str | Text], path: str) -> Pair:
    if isinstance(item, Pair):
        return item
    try:
        first, second = item
    except (TypeError, ValueError) as error:
        raise TypeError(f"{path} is not a Pair and not a tuple of two texts") from error
    return Pair(first, second)


def _checked(value: str, path: str) -> str:
    """Return the string, unless it contains half a character (a lone surrogate), which UTF-8 cannot encode."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _invalid(
            "TEXT_NOT_UTF8",
            path,
            f"has a lone surrogate (U+{ord(value[error.start]):04X}) at position {error.start}",
            'read the text with its actual encoding, or replace such characters: text.encode(errors="replace")',
        ) from error
    return value


def _checked_id(value: str, path: str) -> str:
    if len(_checked(value, path).encode()) > MAX_ID_BYTES:
        raise _invalid("ARGUMENT_INVALID", path, f"is longer than {MAX_ID_BYTES} bytes", "use a shorter id")
    return value


def _invalid(reason: str, path: str, description: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path} {description}", reason=reason, remedy=remedy, violations=[Violation(path, description)]
    )
