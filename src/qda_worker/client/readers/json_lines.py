"""Read JSON Lines: on each line a string, or an object with a text and what is known of it.

A list in a JSON file has the same values; its items are read by the same rules.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit, Segment
from qda_worker.client.readers.text_source import SourceLine
from qda_worker.client.results import ItemError

_FORMATS: Final = {
    PlaceUnit.LINE: 'give {"id": "…", "text": "…"} on each line',
    PlaceUnit.ITEM: 'give a list of texts, or of {"id": "…", "text": "…"}',
}

# Values in a wrong format that are held back until one is right. A file without any is refused as a whole.
_HELD_BACK: Final = 1_000


def read_json_lines(lines: Iterable[SourceLine], source: str) -> Iterator[Segment]:
    """Yield the text of each line.

    Raises:
        UsageError: when no line is in the right format.
    """
    return _refused_without_any((_read_line(line, source) for line in lines), source)


def read_json_items(values: Iterable[object], source: str) -> Iterator[Segment]:
    """Yield the text of each item of a list.

    Raises:
        UsageError: when no item is in the right format.
    """
    found = (
        _read_value(value, Place(PlaceUnit.ITEM, number), source)
        for number, value in enumerate(values, start=1)
    )
    return _refused_without_any(found, source)


def to_seconds(value: object) -> float | None:
    """Return a time of a JSON document; None if it is no number, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return seconds if math.isfinite(seconds) else None


def _refused_without_any(found: Iterable[tuple[Segment, bool]], source: str) -> Iterator[Segment]:
    """Yield the segments if one of them is in the right format.

    Raises:
        UsageError: when none is.
    """
    wrong: list[InvalidSegment] = []
    any_right = False
    for segment, in_format in found:
        any_right |= in_format
        if isinstance(segment, InvalidSegment) and not any_right and len(wrong) < _HELD_BACK:
            wrong.append(segment)
            continue
        yield from wrong
        wrong.clear()
        yield segment
    if not wrong:
        return
    if any_right:
        yield from wrong
        return
    raise UsageError(f"{source}, {wrong[0].error.message}", wrong[0].error.remedy)


def _read_line(line: SourceLine, source: str) -> tuple[Segment, bool]:
    """Return the text of a line, and whether the line is in the right format."""
    place = Place(PlaceUnit.LINE, line.number)
    if line.error is not None:
        return InvalidSegment("", str(line.number), source, place=place, error=line.error), False
    try:
        value: object = json.loads(line.text.removeprefix("\ufeff"))  # files with a mark that were joined
    except (ValueError, RecursionError) as error:
        return _wrong(f"no JSON ({error})", str(line.number), place, source), False
    return _read_value(value, place, source)


def _wrong(found: str, text_id: str, place: Place, source: str) -> InvalidSegment:
    message = f"{place.unit} {place.number}: found {found}"
    error = ItemError("ARGUMENT_INVALID", message, _FORMATS[place.unit])
    return InvalidSegment("", text_id, source, place=place, error=error)


def _read_value(value: object, place: Place, source: str) -> tuple[Segment, bool]:
    """Return the text of a JSON value, and whether the value is in the right format."""
    number = str(place.number)
    fields: dict[str, Any] = value if isinstance(value, dict) else {"text": value}
    identifier, language = fields.get("id"), fields.get("language")
    known_id = isinstance(identifier, str | int | float) and not isinstance(identifier, bool)
    # As in a table, an empty id is none.
    text_id = (str(identifier) if known_id and not _is_missing(identifier) else "") or number
    if "text" not in fields:
        return _wrong('an object without "text"', text_id, place, source), False
    content = fields["text"]
    if _is_missing(content):
        message = f"{place.unit} {number}: the text is missing (null)"
        missing = ItemError("TEXT_EMPTY", message, f"leave the {place.unit} out")
        return InvalidSegment("", text_id, source, place=place, error=missing), True
    if not isinstance(content, str):
        found = 'neither a string nor an object with a string "text"'
        return _wrong(found, text_id, place, source), False
    if not (known_id or _is_missing(identifier)) or not (isinstance(language, str) or _is_missing(language)):
        return _wrong('an object whose "id" or "language" is no string', text_id, place, source), False
    speaker = fields.get("speaker")
    return (
        Segment(
            content,
            text_id,
            source,
            speaker=speaker if isinstance(speaker, str) and speaker else None,
            start=to_seconds(fields.get("start")),
            end=to_seconds(fields.get("end")),
            place=place,
            language=language if isinstance(language, str) else "",
        ),
        True,
    )


def _is_missing(value: object) -> bool:
    """Return whether a value is null, or the NaN that pandas writes for a missing one."""
    return value is None or value != value  # noqa: PLR0124 - only NaN differs from itself
