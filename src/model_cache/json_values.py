"""Conversion of results to JSON: one encoder for everything that the programs print or write.

Dataclasses and named tuples become objects whose keys are the field names, in field order. Where a document has other
keys, or leaves some out, its own module builds that part and encodes the rest here.

The module imports nothing heavy, because `cache-check` uses it: numpy arrays and times are recognised by their methods.
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from os import PathLike
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def to_json_value(value: object) -> Json:
    """Return the JSON form of a value.

    Dataclasses, named tuples and mappings become objects; other iterables and arrays become lists; enum members become
    their values, paths their text, and dates and times ISO 8601 text.

    Raises:
        TypeError: the value, or one inside it, has no form in JSON.
    """
    if isinstance(value, Enum):
        return to_json_value(value.value)
    if value is None or isinstance(value, bool | int | float):
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
    return json.dumps(to_json_value(value), ensure_ascii=False, indent=2)


def to_json_line(value: object) -> str:
    """Return a value as one line of JSON, without a line break at the end."""
    return json.dumps(to_json_value(value), ensure_ascii=False)


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
