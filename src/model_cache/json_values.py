"""Conversion of values to JSON and back: one encoder for what programs print or write, one parser for what they read.

Dataclasses and named tuples become objects whose keys are the field names, in field order. Where a document has other
keys, or leaves some out, its own module builds that part and encodes the rest here.

What is read was perhaps written by others. The parser therefore raises `ValueError` whatever is wrong with a document,
and bounds the number of its values: a value takes up to a hundred times the memory of its text.

What is written may be shown on a terminal. Characters that control it are therefore escaped, which JSON permits for
every character.

The module imports nothing heavy, because `cache-check` uses it: numpy arrays and times are recognized by their methods.
"""

import json
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from os import PathLike
from typing import Any, Final, TypeAlias, cast

from model_cache.formatting import CONTROL_CHARACTERS

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


# Limit of the values of a document that is read. A manifest has six for each of its files.
MAX_VALUES: Final = 1_000_000

# Types whose instances are JSON as they are; subclasses such as enums are not.
_JSON_TYPES: Final = frozenset({str, int, float, bool})


def parse_json(content: bytes) -> Any:  # Any: JSON has no types
    """Return the value of a JSON document from a source that is not trusted.

    Raises:
        ValueError: it is not JSON, is nested too deeply, has more than `MAX_VALUES` values, or has text that is not
            valid Unicode.
    """
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    try:
        value = json.loads(content)
        if b"\\u" in content:  # half of a surrogate pair can be written in JSON, but not encoded again
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def parse_json_object(content: bytes) -> dict[str, Any]:
    """Return the fields of a JSON document that is an object.

    Raises:
        ValueError: as `parse_json`; or the document is no object.
    """
    try:
        return json_object(parse_json(content))
    except TypeError as error:
        raise ValueError(str(error)) from error


def json_object(value: object) -> dict[str, Any]:
    """Return a value of a document that must be an object. Raises `TypeError`."""
    if not isinstance(value, dict):
        raise TypeError(f"it has {type(value).__name__} where an object should be")
    return value


def json_list(value: object) -> list[Any]:
    """Return a value of a document that must be a list. Raises `TypeError`."""
    if not isinstance(value, list):
        raise TypeError(f"it has {type(value).__name__} where a list should be")
    return value


def json_text(value: object) -> str:
    """Return a value of a document that must be text. Raises `TypeError`."""
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} where text should be")
    return value


def to_json_value(value: object) -> Json:
    """Return the JSON form of a value.

    Dataclasses, named tuples and mappings become objects; other iterables and arrays become lists; enum members become
    their values, paths their text, and dates and times ISO 8601 text.

    Raises:
        TypeError: the value, or one inside it, has no form in JSON.
    """
    if value is None or type(value) in _JSON_TYPES:
        return cast(Json, value)
    if isinstance(value, Enum):
        return to_json_value(value.value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PathLike):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json_value(each) for key, each in value.items()}
    if (names := _field_names(value)) is not None:
        return {name: to_json_value(getattr(value, name)) for name in names}
    return _from_methods(value)


def to_json_text(value: object) -> str:
    """Return a value as one indented JSON document, without a line break at the end."""
    return _dump(value, indent=2)


def to_json_line(value: object) -> str:
    """Return a value as one line of JSON, without a line break at the end."""
    return _dump(value)


def dump_json_line(value: Json) -> str:
    """Return a value that is in its JSON form already as one line, without a line break at the end."""
    return _escape_controls(json.dumps(value, ensure_ascii=False))


def _dump(value: object, indent: int | None = None) -> str:
    return _escape_controls(json.dumps(to_json_value(value), ensure_ascii=False, indent=indent))


def _escape_controls(text: str) -> str:
    return CONTROL_CHARACTERS.sub(_escape, text) if not text.isascii() or "\x7f" in text else text


def _escape(match: re.Match[str]) -> str:
    """Return a character as an escape of JSON; a line break is the encoder's own."""
    return match[0] if match[0] == "\n" else json.dumps(match[0])[1:-1]


def _field_names(value: object) -> Iterable[str] | None:
    """Return the field names of a named tuple or dataclass instance; None for any other value."""
    if isinstance(value, type):
        return None
    if isinstance(value, tuple):
        names: tuple[str, ...] | None = getattr(value, "_fields", None)
        return names
    fields: dict[str, object] | None = getattr(value, "__dataclass_fields__", None)
    return fields


def _from_methods(value: object) -> Json:
    isoformat = getattr(value, "isoformat", None)  # dates and times
    if isoformat is not None and not isinstance(value, type):
        return str(isoformat())
    to_list = getattr(value, "tolist", None)  # numpy arrays and array.array
    if to_list is not None:
        return to_json_value(to_list())
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [to_json_value(each) for each in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")
