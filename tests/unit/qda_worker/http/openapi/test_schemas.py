"""JSON schemas from descriptors: types, comments, references."""

from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto, SourceCodeInfo

from qda_worker.http.openapi.schemas import build_schemas, reachable

OPTIONAL, REPEATED = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED

COMMENTS: Final = {
    (4, 0): " Note is a note.\n It has two lines.\n\n And a paragraph.\n",
    (4, 0, 2, 0): " The text.\n",
    (4, 0, 3, 1, 2, 0): " A field of a nested message.\n",
    (5, 0): " Kind is a kind.\n",
    (5, 0, 2, 1): " The other one.\n",
}


def file() -> FileDescriptorProto:
    made = FileDescriptorProto(name="note.proto", package="p")
    note = made.message_type.add(name="Note")
    types = [
        ("text", Field.TYPE_STRING, OPTIONAL, ""),
        ("many_counts", Field.TYPE_INT64, REPEATED, ""),
        ("kind", Field.TYPE_ENUM, OPTIONAL, ".p.Kind"),
        ("inner", Field.TYPE_MESSAGE, OPTIONAL, ".p.Note.Inner"),
        ("notes", Field.TYPE_MESSAGE, REPEATED, ".p.Note"),
        ("names", Field.TYPE_MESSAGE, REPEATED, ".p.Note.NamesEntry"),
        ("one", Field.TYPE_BOOL, OPTIONAL, ""),
        ("other", Field.TYPE_BYTES, OPTIONAL, ""),
    ]
    for number, (name, kind, label, type_name) in enumerate(types, 1):
        head, *rest = name.split("_")
        note.field.add(
            name=name, number=number, type=kind, label=label, type_name=type_name,
            json_name=head + "".join(map(str.title, rest)),
        )  # fmt: skip
    note.oneof_decl.add(name="choice")
    note.field[6].oneof_index = note.field[7].oneof_index = 0
    entry = note.nested_type.add(name="NamesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=OPTIONAL)
    entry.field.add(name="value", number=2, type=Field.TYPE_FLOAT, label=OPTIONAL)
    inner = note.nested_type.add(name="Inner")
    inner.field.add(
        name="deep", json_name="deep", number=1, type=Field.TYPE_MESSAGE, label=OPTIONAL,
        type_name=".google.protobuf.Duration",
    )  # fmt: skip
    enum = made.enum_type.add(name="Kind")
    enum.value.add(name="KIND_ONE", number=0)
    enum.value.add(name="KIND_OTHER", number=1)
    for path, text in COMMENTS.items():
        made.source_code_info.location.append(SourceCodeInfo.Location(path=path, leading_comments=text))
    return made


def duration() -> FileDescriptorProto:
    made = FileDescriptorProto(name="duration.proto", package="google.protobuf")
    made.message_type.add(name="Duration").field.add(name="seconds", number=1, type=Field.TYPE_INT64)
    return made


SCHEMAS: Final = build_schemas([file(), duration()])


def test_fields_have_their_json_names_and_types() -> None:
    properties = SCHEMAS["p.Note"]["properties"]
    assert properties["text"] == {"type": "string", "description": "The text."}
    assert properties["manyCounts"] == {"type": "array", "items": {"type": "string", "format": "int64"}}
    assert properties["kind"] == {"$ref": "#/components/schemas/p.Kind"}
    assert properties["notes"]["items"] == {"$ref": "#/components/schemas/p.Note"}
    assert properties["names"]["additionalProperties"] == {"type": "number", "format": "float"}
    assert properties["other"] == {"type": "string", "contentEncoding": "base64"}


def test_comments_become_descriptions_with_a_line_for_each_paragraph() -> None:
    assert SCHEMAS["p.Note"]["description"].startswith(
        "Note is a note. It has two lines.\n\nAnd a paragraph."
    )
    assert SCHEMAS["p.Note.Inner"]["properties"]["deep"]["description"] == "A field of a nested message."


def test_the_fields_of_a_oneof_are_named() -> None:
    assert SCHEMAS["p.Note"]["description"].endswith("At most one of one, other is set (choice).")


def test_an_enum_is_the_names_of_its_values_with_their_comments() -> None:
    assert SCHEMAS["p.Kind"]["enum"] == ["KIND_ONE", "KIND_OTHER"]
    assert "- `KIND_OTHER`: The other one." in SCHEMAS["p.Kind"]["description"]


def test_well_known_messages_have_the_form_of_their_json() -> None:
    assert SCHEMAS["google.protobuf.Duration"]["type"] == "string"


def test_only_what_the_roots_need_is_kept() -> None:
    assert list(reachable(["p.Note.Inner"], SCHEMAS)) == ["google.protobuf.Duration", "p.Note.Inner"]
    assert set(reachable(["p.Note"], SCHEMAS)) == set(SCHEMAS) - {"p.Note.NamesEntry"}
