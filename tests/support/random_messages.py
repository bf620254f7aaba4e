"""Random messages of any protobuf type, for comparisons with Google's own JSON codec."""

import random
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from qda_worker.conversion.json_requests import map_entry
from qda_worker.conversion.parse_errors import is_repeated
from qda_worker.services import SERVICES

TEXTS: Final = ("", "Köln", 'a"b\\c', "\x00\n\u2028", "𝔘", "ß" * 40)
_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def message_types() -> list[Descriptor]:
    """Return the types of all requests and responses of the services."""
    pool = descriptor_pool.Default()
    methods = [method for name in SERVICES for method in pool.FindServiceByName(name).methods]
    return [kind for method in methods for kind in (method.input_type, method.output_type)]


def random_message(descriptor: Descriptor, chance: random.Random, depth: int = 0) -> Message:
    """Return a message of a type with about half of its fields."""
    message = message_factory.GetMessageClass(descriptor)()
    if isinstance(message, Duration):
        message.FromNanoseconds(chance.randrange(10**12))
    elif isinstance(message, Timestamp):
        message.FromNanoseconds(chance.randrange(10**18))
    elif descriptor.full_name == "google.protobuf.Any":
        message.Pack(error_details_pb2.ErrorInfo(reason="X", metadata={"a": "b"}))  # type: ignore[attr-defined]
    elif depth < 5:
        for field in descriptor.fields:
            if chance.random() < 0.6:
                _set(message, field, chance, depth)
    return message


def _set(message: Message, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
    kind = map_entry(field)
    if kind is not None:
        for entry in (random_message(kind, chance, depth + 1) for _ in range(2)):
            getattr(message, field.name)[getattr(entry, "key")] = getattr(entry, "value")  # noqa: B009
    elif is_repeated(field):
        values = [_value(field, chance, depth) for _ in range(chance.randrange(3))]
        getattr(message, field.name).extend(values)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(_value(field, chance, depth))
    else:
        setattr(message, field.name, _value(field, chance, depth))


def _value(field: FieldDescriptor, chance: random.Random, depth: int) -> Any:
    if field.message_type is not None:
        return random_message(field.message_type, chance, depth + 1)
    if field.enum_type is not None:
        return chance.choice([*field.enum_type.values_by_number, 77])
    if field.cpp_type in _INTEGERS:
        lowest, highest = _INTEGERS[field.cpp_type]
        return chance.choice([lowest, highest, chance.randint(0, 1000)])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return chance.choice([0.1, -1e-30, 3.4e38, chance.random(), float("inf"), float("-inf")])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.randrange(8))
    return chance.choice(TEXTS)
