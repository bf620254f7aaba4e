"""Requests in JSON, by the mapping of https://protobuf.dev/programming-guides/json/.

`google.protobuf.json_format` implements the same mapping. It is used for the well-known types only, such as Duration,
because its errors quote values of the request, and most of them do not say where the value is.

A message type is described once as a list of `_Field`s, from its descriptor. `parse_json` follows them to turn the
decoded JSON into arguments for the message's constructor, and collects what is wrong as violations with the same field
paths as the other errors of requests.
"""

import base64
import binascii
import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from model_cache.cli.parser import closest_match
from qda_worker.conversion.json_text import MAX_JSON_BYTES_ON_LOOP, decode_json, is_name
from qda_worker.conversion.parse_errors import Deferred, is_repeated
from qda_worker.errors import ArgumentInvalid, TextNotUtf8, Violation
from qda_worker.limits import MAX_VIOLATIONS

_INTEGER_LIMITS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
# The only form of these in JSON is that of strings.
_SPECIAL_FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_FLOAT32: Final = (2 - 2**-23) * 2.0**127
# Full names of the messages that protobuf itself writes in a form of their own begin so.
WELL_KNOWN: Final = "google.protobuf."


@dataclass(frozen=True, slots=True)
class JsonMessage(Deferred):
    """The JSON of a request that is to be parsed before its handler runs.

    Attributes:
        data: the JSON.
        descriptor: the type of the message.
    """

    data: bytes
    descriptor: Descriptor

    @property
    def is_quick(self) -> bool:
        """Whether it may be parsed on the event loop."""
        return len(self.data) <= MAX_JSON_BYTES_ON_LOOP

    def parse(self) -> Message:
        """Parse the message; see `parse_json`."""
        return parse_json(self.data, self.descriptor)


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is read.

    Attributes:
        name: in the proto.
        json_name: in JSON.
        repeated: whether it is a list.
        oneof: name of the oneof that it belongs to; empty without one.
        read: converts a decoded JSON value; raises `_WrongValue`.
    """

    name: str
    json_name: str
    repeated: bool
    oneof: str
    read: Callable[[Any, "_Problems", str], Any]


class _WrongValue(Exception):
    """A value of the wrong type or range; the message says what is allowed."""


class _Problems:
    """The violations of one request; those beyond `MAX_VIOLATIONS` are dropped.

    Attributes:
        violations: what is wrong.
        only_encoding: whether each of them is a string that is not UTF-8.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.only_encoding = True

    def add(self, path: str, description: str, *, encoding: bool = False) -> None:
        """Add a violation."""
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(Violation(path, description))
            self.only_encoding = self.only_encoding and encoding


def parse_json(data: bytes, descriptor: Descriptor) -> Message:
    """Parse the JSON of a message.

    Args:
        data: the JSON, in UTF-8.
        descriptor: the type of the message.

    Raises:
        TextNotUtf8: when a string has bytes that are not UTF-8, or half of a surrogate pair.
        TooManyTexts: when it has more values than a valid request.
        ArgumentInvalid: when it is not JSON, or not such a message. The violations name the fields.
    """
    problems = _Problems()
    arguments = _read_message(decode_json(data), problems, "", descriptor)
    if problems.violations:
        first = problems.violations[0]
        error = TextNotUtf8 if problems.only_encoding else ArgumentInvalid
        message = f"{first.field}: {first.description}" if first.field else first.description
        raise error(message, violations=problems.violations)
    return message_factory.GetMessageClass(descriptor)(**arguments)


@functools.cache
def _fields(descriptor: Descriptor) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            field.name,
            field.json_name,
            is_repeated(field) and map_entry(field) is None,
            field.containing_oneof.name if field.containing_oneof is not None else "",
            _reader(field),
        )
        for field in descriptor.fields
    )


def map_entry(field: FieldDescriptor) -> Descriptor | None:
    """Return the type of an entry, with the fields `key` and `value`, if a field is a map."""
    kind = field.message_type
    return kind if kind is not None and kind.GetOptions().map_entry else None


@functools.cache
def _fields_by_name(descriptor: Descriptor) -> Mapping[str, _Field]:
    fields = _fields(descriptor)
    return {field.name: field for field in fields} | {field.json_name: field for field in fields}


def _read_message(value: Any, problems: _Problems, path: str, descriptor: Descriptor) -> dict[str, Any]:
    """Return the arguments for the constructor of a message."""
    if not isinstance(value, dict):
        raise (
            _WrongValue(f"an object is expected, not {_kind(value)}")
            if path
            else ArgumentInvalid(
                f"the body is {_kind(value)}; a {descriptor.full_name} is a JSON object",
                "send one JSON object, encoded as UTF-8",
            )
        )
    prefix = f"{path}." if path else ""
    by_name = _fields_by_name(descriptor)
    arguments: dict[str, Any] = {}
    oneofs: dict[str, str] = {}
    for key, each in value.items():
        field = by_name.get(key)
        if field is None:
            problems.add(f"{prefix}{key}" if is_name(key) else path, _unknown(key, descriptor))
        elif each is None:
            continue
        elif field.name in arguments:
            problems.add(prefix + field.name, "is set twice, by both of its names")
        elif field.oneof and oneofs.setdefault(field.oneof, field.name) != field.name:
            problems.add(prefix + field.name, f"cannot be set together with {oneofs[field.oneof]}")
        else:
            arguments[field.name] = _read_field(field, each, problems, prefix + field.name)
    return arguments


def _read_field(field: _Field, value: Any, problems: _Problems, path: str) -> Any:
    if not field.repeated:
        return _read_value(field, value, problems, path)
    if not isinstance(value, list):
        problems.add(path, f"a list is expected, not {_kind(value)}")
        return []
    return [_read_value(field, each, problems, f"{path}[{index}]") for index, each in enumerate(value)]


def _read_value(field: _Field, value: Any, problems: _Problems, path: str) -> Any:
    try:
        return field.read(value, problems, path)
    except _WrongValue as error:
        problems.add(path, str(error))
    except UnicodeEncodeError:
        problems.add(path, "holds bytes that are not UTF-8, or half of a surrogate pair", encoding=True)
    return None


def _unknown(key: str, descriptor: Descriptor) -> str:
    names = [field.json_name for field in descriptor.fields]
    guess = closest_match(key, names) if is_name(key) else None
    hint = f'; did you mean "{guess}"?' if guess else ""
    return f"unknown field of {descriptor.full_name}, whose fields are {', '.join(names)}{hint}"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _reader(field: FieldDescriptor) -> Callable[[Any, _Problems, str], Any]:
    """Return the function that converts a decoded JSON value of a field."""
    if field.message_type is not None:
        message_type = field.message_type
        if map_entry(field) is not None:
            read_entry = _reader(message_type.fields_by_name["value"])
            return lambda value, problems, path: _read_map(value, problems, path, read_entry)
        if message_type.full_name.startswith(WELL_KNOWN):
            return lambda value, _, __: _read_well_known(value, message_type)
        return lambda value, problems, path: _read_message(value, problems, path, message_type)
    if field.enum_type is not None:
        numbers = {name: value.number for name, value in field.enum_type.values_by_name.items()}
        return lambda value, _, __: _read_enum(value, numbers)
    if field.cpp_type in _INTEGER_LIMITS:
        lowest, highest = _INTEGER_LIMITS[field.cpp_type]
        return lambda value, _, __: _read_integer(value, lowest, highest)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        limit = _MAX_FLOAT32 if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT else math.inf
        return lambda value, _, __: _read_float(value, limit)
    readers = {
        FieldDescriptor.TYPE_STRING: _read_string,
        FieldDescriptor.TYPE_BYTES: _read_bytes,
        FieldDescriptor.TYPE_BOOL: _read_bool,
    }
    read = readers[field.type]
    return lambda value, _, __: read(value)


def _read_map(
    value: Any, problems: _Problems, path: str, read: Callable[[Any, _Problems, str], Any]
) -> dict[str, Any]:
    """Return a map whose keys are strings, as all of this project."""
    if not isinstance(value, dict):
        raise _WrongValue(f"an object is expected, not {_kind(value)}")
    return {_read_string(key): read(each, problems, path) for key, each in value.items()}


def _read_string(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongValue(f"a string is expected, not {_kind(value)}")
    if not value.isascii():
        value.encode()  # refuses half of a surrogate pair
    return value


def _read_bytes(value: Any) -> bytes:
    text = _read_string(value).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _WrongValue("bytes in base64 are expected") from None


def _read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValue(f"true or false is expected, not {_kind(value)}")
    return value


def _read_enum(value: Any, numbers: Mapping[str, int]) -> int:
    if isinstance(value, str) and value in numbers:
        return numbers[value]
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    raise _WrongValue(f"one of {', '.join(numbers)} is expected")


def _read_integer(value: Any, lowest: int, highest: int) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value, re.ASCII):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise _WrongValue(f"a whole number from {lowest} to {highest} is expected")
    return value


def _read_float(value: Any, limit: float) -> float:
    if isinstance(value, str) and value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    if isinstance(value, str):
        value = _number_of_text(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _WrongValue(f"a number is expected, not {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number) or abs(number) > limit:  # 1e999 is decoded as infinity
        raise _WrongValue("the number is too large")
    return number


def _number_of_text(text: str) -> float:
    if re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", text, re.ASCII):
        return float(text)
    raise _WrongValue("a number is expected, not a string")


def _read_well_known(value: Any, descriptor: Descriptor) -> Message:
    message = message_factory.GetMessageClass(descriptor)()
    try:
        return json_format.ParseDict(value, message)
    except json_format.ParseError:
        raise _WrongValue(f"a {descriptor.full_name} is expected") from None
