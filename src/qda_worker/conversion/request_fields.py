"""Fields that several requests share: texts and their ids, long-text policy, priority, offset encoding, prompt.

An enum number that this worker does not know comes from a newer or a broken client. It is refused: with a guessed
meaning the worker would compute something else than was requested. Every error names the path of the field at fault,
relative to the message that is parsed; `field_prefix` completes the path where that message is part of another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from qda.v1 import processing_pb2, text_pb2
from qda_worker.errors import ArgumentInvalid, EncodingMissing, TooManyTexts, Violation, WorkerError
from qda_worker.limits import MAX_ID_BYTES, MAX_TEXTS
from qda_worker.models.base import LongText, ModelInfo
from qda_worker.models.offsets import OffsetEncoding
from qda_worker.scheduling.jobs import Lane

_LONG_TEXT_POLICIES: Final[Mapping[int, LongText]] = {
    text_pb2.LONG_TEXT_POLICY_UNSPECIFIED: LongText.CUT,
    text_pb2.LONG_TEXT_POLICY_ERROR: LongText.ERROR,
    text_pb2.LONG_TEXT_POLICY_CUT: LongText.CUT,
    text_pb2.LONG_TEXT_POLICY_WINDOW: LongText.WINDOW,
}
_LANES: Final[Mapping[int, Lane]] = {
    processing_pb2.PRIORITY_INTERACTIVE: Lane.INTERACTIVE,
    processing_pb2.PRIORITY_BULK: Lane.BULK,
}
_OFFSET_ENCODINGS: Final[Mapping[int, OffsetEncoding]] = {
    text_pb2.OFFSET_ENCODING_UTF8_BYTES: OffsetEncoding.UTF8,
    text_pb2.OFFSET_ENCODING_UTF16_UNITS: OffsetEncoding.UTF16,
    text_pb2.OFFSET_ENCODING_CODE_POINTS: OffsetEncoding.CODE_POINT,
}

_MAX_BYTES_PER_CODE_POINT: Final = 4  # in UTF-8

# Characters of an unknown prompt's name that an error message shows.
_MAX_QUOTED_NAME: Final = 50

_Value = TypeVar("_Value")
_Default = TypeVar("_Default", bound=Lane | None)


class HasId(Protocol):
    """A text or a pair of texts."""

    @property
    def id(self) -> str:
        """The caller's identifier of it."""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """The texts of one request, in their order.

    Attributes:
        ids: the caller's ids, which need not be unique or set.
        contents: the texts themselves; an empty one passes here and fails alone in the model.
    """

    ids: tuple[str, ...]
    contents: tuple[str, ...]

    @property
    def id_bytes(self) -> int:
        """The size of all ids together, in bytes of UTF-8."""
        return sum(len(text_id.encode()) for text_id in self.ids)


def parse_texts(texts: Sequence[text_pb2.Text]) -> TextBatch:
    """Parse the texts of a request or of one chunk of a stream.

    Raises:
        ArgumentInvalid: when there are none, or when an id is too long.
        TooManyTexts: when there are more than `MAX_TEXTS`.
    """
    check_count(len(texts), "texts")
    check_ids(texts, "texts")
    return TextBatch(tuple(text.id for text in texts), tuple(text.content for text in texts))


def check_count(count: int, field: str, max_count: int = MAX_TEXTS) -> None:
    """Check the number of elements of a repeated field.

    Raises:
        ArgumentInvalid: when there are none.
        TooManyTexts: when there are more than `max_count`.
    """
    if count == 0:
        raise ArgumentInvalid(
            f"the request has no {field}", "send at least one", violations=[Violation(field, "is empty")]
        )
    if count > max_count:
        raise TooManyTexts(
            f"the request has {count} {field}; at most {max_count} are allowed",
            violations=[Violation(field, f"holds {count}; at most {max_count}")],
        )


def check_ids(items: Sequence[HasId], field: str) -> None:
    """Check the length of all ids.

    Raises:
        ArgumentInvalid: when an id is too long; its violations name every such id.
    """
    violations = [
        Violation(f"{field}[{index}].id", f"is longer than {MAX_ID_BYTES} bytes")
        for index, item in enumerate(items)
        if is_id_too_long(item.id)
    ]
    if violations:
        raise ArgumentInvalid(
            f"{violations[0].field} is longer than {MAX_ID_BYTES} bytes",
            "use shorter ids",
            violations=violations,
        )


def is_id_too_long(text_id: str) -> bool:
    """Return whether an id has more than `MAX_ID_BYTES` in UTF-8; short ids are never encoded for it."""
    if len(text_id) * _MAX_BYTES_PER_CODE_POINT <= MAX_ID_BYTES:
        return False
    return len(text_id.encode()) > MAX_ID_BYTES


def parse_long_text_policy(policy: int) -> LongText:
    """Parse what to do with a text that is longer than the model reads; unspecified is CUT.

    Raises:
        ArgumentInvalid: when the number is not a value of the enum.
    """
    return parse_enum(_LONG_TEXT_POLICIES, policy, "long_text_policy")


def parse_priority(priority: int, default: _Default) -> Lane | _Default:
    """Parse the priority into the lane of the queue; unspecified is `default`, where None stands for a lane by size.

    Raises:
        ArgumentInvalid: when the number is not a value of the enum.
    """
    if priority == processing_pb2.PRIORITY_UNSPECIFIED:
        return default
    return parse_enum(_LANES, priority, "priority")


def parse_offset_encoding(encoding: int) -> OffsetEncoding:
    """Parse the unit in which the caller counts offsets. There is no default.

    Raises:
        EncodingMissing: when it is unspecified.
        ArgumentInvalid: when the number is not a value of the enum.
    """
    if encoding == text_pb2.OFFSET_ENCODING_UNSPECIFIED:
        raise EncodingMissing(
            "offset_encoding is not set; it defines the unit of all positions in the response",
            "set it to OFFSET_ENCODING_CODE_POINTS (Python, R), OFFSET_ENCODING_UTF16_UNITS (JavaScript, Java, C#) or "
            "OFFSET_ENCODING_UTF8_BYTES (Go, Rust, C)",
            violations=[Violation("offset_encoding", "is required")],
        )
    return parse_enum(_OFFSET_ENCODINGS, encoding, "offset_encoding")


def parse_enum(values: Mapping[int, _Value], number: int, field: str) -> _Value:
    """Return the worker's value for an enum number of the proto.

    Raises:
        ArgumentInvalid: when `values` has no such number.
    """
    if number not in values:
        raise ArgumentInvalid(
            f"{field} has no value {number}",
            "use a value of the enum in the worker's proto",
            violations=[Violation(field, f"has no value {number}")],
        )
    return values[number]


def parse_enums(
    values: Mapping[int, _Value], numbers: Iterable[int], field: str, noun: str, remedy: str
) -> frozenset[_Value]:
    """Return the worker's values for the enum numbers of a list.

    Args:
        values: by number.
        numbers: those of the request.
        field: the path of the list.
        noun: what each number is, as "a layer".
        remedy: what to send instead.

    Raises:
        ArgumentInvalid: when `values` lacks one of the numbers.
    """
    parsed = set()
    for index, number in enumerate(numbers):
        if number not in values:
            raise ArgumentInvalid(
                f"{field}[{index}] is {number}, which is not {noun}",
                remedy,
                violations=[Violation(f"{field}[{index}]", f"is not {noun}")],
            )
        parsed.add(values[number])
    return frozenset(parsed)


def check_prompt(name: str, info: ModelInfo) -> None:
    """Check that the model has the prompt that a request names.

    Raises:
        ArgumentInvalid: when it has no prompt of that name.
    """
    if name and name not in info.prompts:
        names = ", ".join(info.prompts)
        raise ArgumentInvalid(
            f'the model "{info.key}" has no prompt "{name[:_MAX_QUOTED_NAME]}"; its prompts: {names or "none"}',
            f"use one of these names: {names}"
            if names
            else "leave prompt_name empty, or add serving.prompts to the model in the catalog",
            violations=[Violation("prompt_name", "is not a prompt of this model")],
        )


@contextmanager
def field_prefix(prefix: str) -> Iterator[None]:
    """Put `prefix` before the field paths and the message of a WorkerError that is raised inside."""
    try:
        yield
    except WorkerError as error:
        raise error.with_prefix(prefix, prefix) from error
