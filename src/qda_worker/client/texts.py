"""Validate the caller's texts and pairs and convert them to protobuf messages.

A text that can never be sent (half a character, which UTF-8 cannot encode; a text larger than a message; an id that is
too long) does not affect the others. An empty text is sent in its place, so that the results stay in the order of the
texts, and the error is recorded in `Problems`, from which `item_problems.with_problem` puts it into the text's result.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from qda.v1 import paraphrase_pb2, text_pb2
from qda_worker.client.errors import InvalidRequest
from qda_worker.client.item_problems import ItemProblem, Problems
from qda_worker.client.results import ItemError
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
class InvalidText(Text):
    """A text that could not be read, as a line of a file that is no valid JSON. Its result is the error.

    Attributes:
        error: why it could not be read.
    """

    error: ItemError = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts to compare, with the caller's own id for the pair."""

    first: str | Text
    second: str | Text
    id: str = ""


def text_messages(
    texts: Iterable[str | Text], problems: Problems, name: str = "texts"
) -> list[text_pb2.Text]:
    """Return the messages of all texts.

    Args:
        texts: at least one.
        problems: the texts that cannot be sent are added to it.
        name: the name of the caller's argument, for errors.

    Raises:
        InvalidRequest: when there is no text.
        TypeError: when `texts` is a single text, or an item is not a text.
    """
    messages = list(iter_text_messages(texts, problems, name))
    if not messages:
        raise InvalidRequest(f"{name} is empty", remedy="send at least one text")
    return messages


def iter_text_messages(
    texts: Iterable[str | Text], problems: Problems, name: str = "texts"
) -> Iterator[text_pb2.Text]:
    """Yield the messages of texts that need not fit into memory; there may be none.

    Raises:
        TypeError: as for `text_messages`.
    """
    check_is_list(texts, name)
    for index, text in enumerate(texts):
        yield text_message(text, problems, name, index)


def check_is_list(texts: object, name: str) -> None:
    """Raise TypeError for a single text, whose characters would be taken for texts."""
    if isinstance(texts, str | Text):
        raise TypeError(f"{name} is one text where a list of texts is expected: write [text]")


def text_message(text: str | Text, problems: Problems, name: str, index: int) -> text_pb2.Text:
    """Return the message of the text at a position; of an empty text, if this one cannot be sent.

    Raises:
        TypeError: when it is not a text.
    """
    text = _to_text(text, f"{name}[{index}]")
    error = _text_error(text, "text")
    if error is not None:
        problems[index] = ItemProblem(text.id, error)
        return text_pb2.Text()
    return _encoded(text)


def pair_messages(
    pairs: Iterable[Pair | tuple[str | Text, str | Text]], problems: Problems
) -> list[paraphrase_pb2.TextPair]:
    """Return the messages of all pairs; those that cannot be sent are added to `problems`, and are empty.

    Raises:
        InvalidRequest: when there is no pair.
        TypeError: when an item is neither a `Pair` nor a tuple of two texts.
    """
    messages = []
    for index, item in enumerate(pairs):
        path = f"pairs[{index}]"
        pair = _to_pair(item, path)
        first, second = _to_text(pair.first, f"{path}.first"), _to_text(pair.second, f"{path}.second")
        error = (
            _text_error(first, "first text")
            or _text_error(second, "second text")
            or _id_error(pair.id, "id of the pair")
        )
        message = paraphrase_pb2.TextPair(first=text_pb2.Text(), second=text_pb2.Text())
        if error is None:
            message = paraphrase_pb2.TextPair(first=_encoded(first), second=_encoded(second), id=pair.id)
            error = _size_error(message.ByteSize(), "pair")
        if error is not None:
            problems[index] = ItemProblem(pair.id, error)
            message = paraphrase_pb2.TextPair(first=text_pb2.Text(), second=text_pb2.Text())
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


def _to_text(text: str | Text, path: str) -> Text:
    if isinstance(text, str):
        return Text(text)
    if not isinstance(text, Text):
        raise TypeError(f"{path} is a {type(text).__name__}, not a str or a Text")
    return text


def _encoded(text: Text) -> text_pb2.Text:
    return text_pb2.Text(content=text.content, id=text.id, language_code=text.language)


def _text_error(text: Text, name: str) -> ItemError | None:
    """Return why a text cannot be sent; None if it can."""
    if isinstance(text, InvalidText):
        return text.error
    error = (
        _surrogate_error(text.content, name)
        or _id_error(text.id, f"id of the {name}")
        or _surrogate_error(text.language, f"language of the {name}")
    )
    return error or _size_error(_encoded(text).ByteSize(), name)


def _surrogate_error(value: str, name: str) -> ItemError | None:
    """Return an error if the string contains half a character (a lone surrogate), which UTF-8 cannot encode."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return ItemError(
            "TEXT_NOT_UTF8",
            f"the {name} has half a character (a lone surrogate, U+{ord(value[error.start]):04X}) at position "
            f"{error.start}",
            "restore the character, often an emoji that was cut in two, or remove its half",
        )
    return None


def _id_error(value: str, name: str) -> ItemError | None:
    error = _surrogate_error(value, name)
    if error is None and len(value.encode()) > MAX_ID_BYTES:
        return ItemError(
            "ARGUMENT_INVALID", f"the {name} is longer than {MAX_ID_BYTES} bytes", "use a shorter id"
        )
    return error


def _size_error(size: int, name: str) -> ItemError | None:
    if size <= MAX_REQUEST_BYTES - _REQUEST_OVERHEAD:
        return None
    message = f"the {name} has {size:,} bytes; a request takes {MAX_REQUEST_BYTES:,} at most"
    return ItemError("TEXT_TOO_LONG", message, "split the text")
