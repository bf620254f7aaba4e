"""Results as JSON values: the one encoder of dataclasses and named tuples for everything that we print or write.

The names of the fields are the names in the document, in their order. What the document calls otherwise, or leaves
out, its own module says beside this. Imports nothing: `cache-check` uses it, and numpy is recognised by its
methods.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from os import PathLike
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def to_json_value(value: object) -> Json:
    """Return a value as JSON has it.

    Dataclasses, named tuples and mappings become objects; other iterables and arrays become lists; enum members their
    values; paths their text; times ISO 8601.

    Raises:
        TypeError: the value, or one inside it, has no form in JSON.
    """
    if isinstance(value, Enum):
        return to_json_value(value.value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PathLike):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_json_value(each) for key, each in value.items()}
    if (names := _field_names(value)) is not None:
        return {name: to_json_value(getattr(value, name)) for name in names}
    return _array_or_iterable(value)


def _array_or_iterable(value: object) -> Json:
    to_list = getattr(value, "tolist", None)  # numpy arrays and array.array
    if to_list is not None:
        return to_json_value(to_list())
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [to_json_value(each) for each in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def to_json_text(value: object) -> str:
    """Return a value as one indented JSON document without a line break at its end."""
    return json.dumps(to_json_value(value), ensure_ascii=False, indent=2)


def to_json_line(value: object) -> str:
    """Return a value as one line of JSON without a line break at its end."""
    return json.dumps(to_json_value(value), ensure_ascii=False)


def _field_names(value: object) -> Iterable[str] | None:
    if isinstance(value, type):
        return None
    if isinstance(value, tuple):
        names: tuple[str, ...] | None = getattr(value, "_fields", None)
        return names
    fields: dict[str, object] | None = getattr(value, "__dataclass_fields__", None)
    return fields
