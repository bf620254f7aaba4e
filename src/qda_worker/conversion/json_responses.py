"""Responses in JSON, by the mapping of https://protobuf.dev/programming-guides/json/.

`google.protobuf.json_format` implements the same mapping. It is used for the well-known types only, such as Duration:
it takes three times as long for the numbers of dense vectors.

Every field that has no presence is written, also where it has its default, so that a client finds each number and each
list at its place.
"""

import base64
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from qda_worker.conversion.json_requests import WELL_KNOWN, map_entry
from qda_worker.conversion.parse_errors import is_repeated

# 64-bit integers are strings in JSON, because numbers of JavaScript have 53 bits.
_LONG_INTEGERS: Final = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is written.

    Attributes:
        name: in the proto.
        json_name: in JSON.
        has_presence: whether it may be absent.
        write: converts the value of the field to one that the JSON encoder writes.
        write_element: the same for an element of a list; None for a field that is not encoded by elements.
    """

    name: str
    json_name: str
    has_presence: bool
    write: Callable[[Any], Any]
    write_element: Callable[[Any], Any] | None


def build_json(message: Message) -> bytes:
    """Return a message as JSON in UTF-8.

    The elements of its lists are encoded one by one: the values of all vectors of a response would take many times the
    memory of its JSON.
    """
    members = []
    for field in _present_fields(message):
        value = getattr(message, field.name)
        if field.write_element is None:
            written = _encode(field.write(value))
        else:
            written = b"[" + b",".join(_encode(field.write_element(each)) for each in value) + b"]"
        members.append(_encode(field.json_name) + b":" + written)
    return b"{" + b",".join(members) + b"}"


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


@functools.cache
def _fields(descriptor: Descriptor) -> tuple[_Field, ...]:
    return tuple(map(_describe, descriptor.fields))


def _describe(field: FieldDescriptor) -> _Field:
    write = _writer(field)
    write_element: Callable[[Any], Any] | None = None
    if (entry := map_entry(field)) is not None:
        write = functools.partial(_write_map, _writer(entry.fields_by_name["value"]))
    elif is_repeated(field) and field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        write = _write_floats
    elif is_repeated(field):
        write_element = write
        write = functools.partial(_write_list, write)
    return _Field(field.name, field.json_name, field.has_presence, write, write_element)


def _write_map(write: Callable[[Any], Any], entries: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): write(entries[key]) for key in sorted(entries)}


def _write_list(write: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [write(value) for value in values]


def _present_fields(message: Message) -> Iterator[_Field]:
    for field in _fields(message.DESCRIPTOR):
        if not field.has_presence or message.HasField(field.name):
            yield field


def _write_message(message: Message) -> dict[str, Any]:
    """Return a message as values that the JSON encoder writes."""
    return {field.json_name: field.write(getattr(message, field.name)) for field in _present_fields(message)}


def _writer(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.message_type is not None:
        is_well_known = field.message_type.full_name.startswith(WELL_KNOWN)
        return _write_well_known if is_well_known else _write_message
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda value: names.get(value, value)
    if field.cpp_type in _LONG_INTEGERS:
        return str
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return lambda value: _write_floats([value])[0]
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return lambda value: value if math.isfinite(value) else _not_finite(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode("ascii")
    return lambda value: value


def _write_well_known(message: Message) -> Any:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def _write_floats(values: Sequence[float]) -> list[float | str]:
    """Return numbers of float32 as the shortest decimals that give them back."""
    texts = np.array(values, np.float32).astype(np.str_).tolist()
    numbers = [float(text) for text in texts]
    return [number if math.isfinite(number) else _not_finite(number) for number in numbers]


def _not_finite(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"
