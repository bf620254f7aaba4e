"""The JSON form of each kind of value."""

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy
import pytest

from model_cache.json_values import to_json_line, to_json_text, to_json_value


class Colour(StrEnum):
    RED = "red"


class Point(NamedTuple):
    x: int
    colour: Colour


@dataclass(frozen=True, slots=True)
class Drawing:
    points: tuple[Point, ...]
    made: datetime
    path: PurePosixPath
    note: str | None = None


def test_dataclasses_and_named_tuples_become_objects_in_field_order() -> None:
    drawing = Drawing((Point(1, Colour.RED),), datetime(2026, 1, 2, tzinfo=UTC), PurePosixPath("a/b"))
    assert to_json_value(drawing) == {
        "points": [{"x": 1, "colour": "red"}],
        "made": "2026-01-02T00:00:00+00:00",
        "path": "a/b",
        "note": None,
    }
    assert type(to_json_value(Colour.RED)) is str


def test_arrays_and_iterables_become_lists() -> None:
    values = numpy.array([[1.5, 2.0]], dtype=numpy.float32)
    assert to_json_value({"a": values, "b": array("f", [0.5]), "c": iter("xy"), "d": frozenset({1})}) == {
        "a": [[1.5, 2.0]],
        "b": [0.5],
        "c": ["x", "y"],
        "d": [1],
    }
    assert to_json_value(numpy.float32(0.5)) == 0.5
    assert to_json_value(OrderedDict(z=1, a=2)) == {"z": 1, "a": 2}


@pytest.mark.parametrize("value", [b"bytes", object(), Point])
def test_a_value_without_a_form_in_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no form in JSON"):
        to_json_value({"inside": [value]})


def test_text_is_not_escaped() -> None:
    assert to_json_line({"ort": "Köln"}) == '{"ort": "Köln"}'
    assert to_json_text({"ort": "Köln"}) == '{\n  "ort": "Köln"\n}'
