"""JSON schemas of messages and enums in proto3's JSON form, from descriptors with their comments.

https://protobuf.dev/programming-guides/json/: names in lowerCamelCase, enums by name, 64-bit integers and bytes as
strings, durations as `1.5s`. A field whose value is the default of its type may be absent. The comments of the proto
are the descriptions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

Schema: TypeAlias = dict[str, Any]

# Numbers of the fields of FileDescriptorProto and DescriptorProto, of which the paths of comments are made.
_MESSAGES: Final = 4
_ENUMS: Final = 5
_SERVICES: Final = 6
_FIELDS: Final = 2
_NESTED_MESSAGES: Final = 3
_NESTED_ENUMS: Final = 4
_METHODS: Final = 2
_VALUES: Final = 2

_SCALARS: Final[Mapping[int, Schema]] = {
    FieldDescriptorProto.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptorProto.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptorProto.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptorProto.TYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptorProto.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptorProto.TYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}

# Messages with a JSON form of their own.
_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Any": {
        "type": "object",
        "description": "A message with its type.",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    "google.protobuf.Duration": {
        "type": "string",
        "description": "Seconds with the suffix s.",
        "pattern": r"^-?\d+(\.\d+)?s$",
        "examples": ["0.125s"],
    },
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}


class Comments:
    """The comments of one file of the proto, which must have its source information."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {
            tuple(location.path): _join_lines(location.leading_comments)
            for location in file.source_code_info.location
        }

    def service(self, index: int) -> str:
        """Return the comment of a service."""
        return self._by_path.get((_SERVICES, index), "")

    def method(self, service: int, index: int) -> str:
        """Return the comment of a method."""
        return self._by_path.get((_SERVICES, service, _METHODS, index), "")

    def at(self, path: Sequence[int]) -> str:
        """Return the comment at a path of source information."""
        return self._by_path.get(tuple(path), "")


def build_schemas(files: Sequence[FileDescriptorProto]) -> dict[str, Schema]:
    """Return the schema of each message and enum of all files, by full name."""
    schemas: dict[str, Schema] = {}
    for file in files:
        comments = Comments(file)
        for name, path, message in _walk_messages(file.package, (_MESSAGES,), file.message_type):
            schemas[name] = _WELL_KNOWN.get(name) or _message_schema(message, comments, path)
            for index, enum in enumerate(message.enum_type):
                enum_path = (*path, _NESTED_ENUMS, index)
                schemas[f"{name}.{enum.name}"] = _enum_schema(enum, comments, enum_path)
        for index, enum in enumerate(file.enum_type):
            schemas[f"{file.package}.{enum.name}"] = _enum_schema(enum, comments, (_ENUMS, index))
    return schemas


def reachable(roots: Sequence[str], schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas that `roots` need, themselves included, in alphabetical order."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(schemas[name]))
    return {name: schemas[name] for name in sorted(found)}


def reference(name: str) -> Schema:
    """Return the reference to a schema by its full name, with or without the leading dot of descriptors."""
    return {"$ref": f"#/components/schemas/{name.removeprefix('.')}"}


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(target := schema.get("$ref"), str):
            yield target.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _walk_messages(
    prefix: str, path: tuple[int, ...], messages: Sequence[DescriptorProto]
) -> Iterator[tuple[str, tuple[int, ...], DescriptorProto]]:
    for index, message in enumerate(messages):
        name, own_path = f"{prefix}.{message.name}", (*path, index)
        yield name, own_path, message
        yield from _walk_messages(name, (*own_path, _NESTED_MESSAGES), message.nested_type)


def _message_schema(message: DescriptorProto, comments: Comments, path: tuple[int, ...]) -> Schema:
    entries = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
    properties = {
        field.json_name: _field_schema(field, entries) | _described(comments.at((*path, _FIELDS, index)))
        for index, field in enumerate(message.field)
    }
    schema: Schema = {"type": "object", **_described(comments.at(path)), "properties": properties}
    for index, oneof in enumerate(message.oneof_decl):
        names = [
            field.json_name
            for field in message.field
            if field.HasField("oneof_index") and field.oneof_index == index and not field.proto3_optional
        ]
        if names:
            note = f"At most one of {', '.join(names)} is set ({oneof.name})."
            schema["description"] = "\n\n".join(filter(None, (schema.get("description"), note)))
    return schema


def _field_schema(field: FieldDescriptorProto, entries: Mapping[str, DescriptorProto]) -> Schema:
    entry = entries.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        return {"type": "object", "additionalProperties": _field_schema(entry.field[1], {})}
    one = dict(_SCALARS[field.type]) if field.type in _SCALARS else reference(field.type_name)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return {"type": "array", "items": one}
    return one


def _enum_schema(enum: EnumDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Schema:
    values = "\n".join(
        f"- `{value.name}`: {comments.at((*path, _VALUES, index))}" for index, value in enumerate(enum.value)
    )
    return {
        "type": "string",
        "description": f"{comments.at(path)}\n\n{values}",
        "enum": [value.name for value in enum.value],
    }


def _described(comment: str) -> Schema:
    return {"description": comment} if comment else {}


def _join_lines(comment: str) -> str:
    """Return a comment with one line for each paragraph."""
    paragraphs = comment.strip().split("\n\n")
    lines = (" ".join(line.strip() for line in paragraph.split("\n")).strip() for paragraph in paragraphs)
    return "\n\n".join(lines)
