"""Why a message could not be parsed: bytes that are not UTF-8, and where, or no message at all.

protobuf refuses the whole message for one bad byte in one string and does not say which; a caller with 10,000 texts
needs to know. So a refused message is walked once more here, by its descriptor, looking at strings alone.
"""

from collections.abc import Callable, Iterator
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from qda_worker.errors import ArgumentInvalid, TextNotUtf8, Violation, WorkerError

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH: Final = 2
_FIXED32: Final = 5
_MAX_DEPTH: Final = 100  # protobuf's own limit for nested messages


class _Malformed(Exception):
    """The bytes are no message."""


def guarded_parser(
    parse: Callable[[bytes], Message], descriptor: Descriptor
) -> Callable[[bytes], Message | WorkerError]:
    """`parse`, but giving the error instead of raising it: gRPC would answer what a parser raises with INTERNAL."""

    def parse_or_explain(data: bytes) -> Message | WorkerError:
        try:
            return parse(data)
        except DecodeError:
            return explain(data, descriptor)

    return parse_or_explain


def explain(data: bytes, descriptor: Descriptor) -> WorkerError:
    """The error for `data`, which protobuf refused as a message of `descriptor`."""
    try:
        violations = [
            Violation(path, "holds bytes that are not UTF-8")
            for path in _bad_strings(data, descriptor, "", 0)
        ]
    except _Malformed:
        violations = []
    if violations:
        return TextNotUtf8(f"{violations[0].field} holds bytes that are not UTF-8", violations=violations)
    return ArgumentInvalid(
        f"the bytes sent are no {descriptor.full_name}",
        "build the message with stubs generated from the worker's proto",
    )


def _bad_strings(data: bytes, descriptor: Descriptor, prefix: str, depth: int) -> Iterator[str]:
    """The paths of all strings in `data` that are not UTF-8. Raises _Malformed."""
    if depth > _MAX_DEPTH:
        raise _Malformed
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
    """protobuf before 6.31 has only `label`, which protobuf 7 has dropped."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]  # gone in protobuf 7


def _fields(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Field numbers with their bytes, None where the wire type has no length. Raises _Malformed."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise _Malformed
        if wire_type == _VARINT:
            _, position = _varint(data, position)
            yield number, None
            continue
        if wire_type == _LENGTH:
            length, position = _varint(data, position)
        elif wire_type == _FIXED64:
            length = 8
        elif wire_type == _FIXED32:
            length = 4
        else:
            raise _Malformed
        end = position + length
        if end > len(data):
            raise _Malformed
        yield number, data[position:end] if wire_type == _LENGTH else None
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise _Malformed
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise _Malformed


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
