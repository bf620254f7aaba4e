"""Results as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TypeAlias

from qda_worker.client.errors import ClientError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: object) -> Json:
    """A result as JSON values: dataclasses as objects, arrays and tuples as lists, times in ISO 8601."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    as_list = getattr(value, "tolist", None)  # numpy arrays and array.array
    if as_list is not None:
        return plain(as_list())
    if isinstance(value, Iterable):
        return [plain(each) for each in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def error_fields(error: ClientError) -> dict[str, str]:
    """What went wrong, as JSON tells it everywhere."""
    return {"reason": error.reason, "message": error.message, "remedy": error.remedy}


def document(value: object) -> str:
    """One document, for people to read too."""
    return json.dumps(plain(value), ensure_ascii=False, indent=2)


def line(value: object) -> str:
    """The same on one line."""
    return json.dumps(plain(value), ensure_ascii=False)
