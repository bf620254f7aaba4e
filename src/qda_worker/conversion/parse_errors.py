"""Explains why a message could not be parsed: which string is not UTF-8, or that the bytes are not a message.

protobuf rejects a whole message for one bad byte in one string and does not name the string, but a caller with 10,000
texts needs to know. So a message that was rejected is decoded here a second time: a minimal decoder of the wire format
follows the descriptor and checks only the strings. Messages that parse are never decoded twice.

See https://protobuf.dev/programming-guides/encoding/ for the wire format.
"""

from collections.abc import Callable, Iterator
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from qda_worker.errors import ArgumentInvalid, TextNotUtf8, Violation, WorkerError

# Wire types.
_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2
_FIXED32: Final = 5

_MAX_DEPTH: Final = 100  # protobuf's own limit for nested messages
_MAX_VARINT_BITS: Final = 70  # ten bytes of seven bits


class _MalformedMessage(Exception):
    """The bytes are not a message."""


def safe_parser(
    parse: Callable[[bytes], Message], descriptor: Descriptor
) -> Callable[[bytes], Message | WorkerError]:
    """Return a parser that returns the error of `parse` instead of raising it.

    gRPC ends a call whose parser raises with INTERNAL, before any handler runs. The handler raises the returned error.
    """

    def parse_or_explain(data: bytes) -> Message | WorkerError:
        try:
            return parse(data)
        except DecodeError:
            return explain_parse_error(data, descriptor)

    return parse_or_explain


def explain_parse_error(data: bytes, descriptor: Descriptor) -> WorkerError:
    """Return the error for bytes that protobuf rejected as a message of `descriptor`.

    Returns:
        TextNotUtf8, whose violations name every string that is not UTF-8, or ArgumentInvalid where the bytes are not a
        message.
    """
    try:
        violations = [
            Violation(path, "holds bytes that are not UTF-8")
            for path in _bad_strings(data, descriptor, "", 0)
        ]
    except _MalformedMessage:
        violations = []
    if violations:
        return TextNotUtf8(f"{violations[0].field} holds bytes that are not UTF-8", violations=violations)
    return ArgumentInvalid(
        f"the bytes sent are not a {descriptor.full_name}",
        "build the message with stubs generated from the worker's proto",
    )


def _bad_strings(data: bytes, descriptor: Descriptor, prefix: str, depth: int) -> Iterator[str]:
    """Yield the paths of all strings in `data` that are not UTF-8.

    Raises:
        _MalformedMessage: when `data` is not a message.
    """
    if depth > _MAX_DEPTH:
        raise _MalformedMessage
    seen: dict[int, int] = {}
    for number, payload in _fields(data):
        field = descriptor.fields_by_number.get(number)
        if field is None or payload is None:
            continue
        index = seen.get(number, 0)
        seen[number] = index + 1
        path = f"{prefix}{field.name}[{index}]" if is_repeated(field) else prefix + field.name
        if field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(payload):
            yield path
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
            yield from _bad_strings(payload, field.message_type, path + ".", depth + 1)


def is_repeated(field: FieldDescriptor) -> bool:
    """Return whether a field is repeated, with any supported protobuf.

    protobuf before 6.31 has only `label`, which protobuf 7 removed.
    """
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]  # gone in protobuf 7


def _fields(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number of each field with its bytes, or None where its wire type is not length-delimited.

    Raises:
        _MalformedMessage: when `data` is not a message.
    """
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise _MalformedMessage
        if wire_type == _VARINT:
            _, position = _varint(data, position)
            yield number, None
            continue
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(data, position)
        elif wire_type == _FIXED64:
            length = 8
        elif wire_type == _FIXED32:
            length = 4
        else:
            raise _MalformedMessage
        end = position + length
        if end > len(data):
            raise _MalformedMessage
        yield number, data[position:end] if wire_type == _LENGTH_DELIMITED else None
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_VARINT_BITS, 7):
        if position >= len(data):
            raise _MalformedMessage
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise _MalformedMessage


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
