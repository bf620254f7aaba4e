"""Read JSON Lines: on each line a string, or an object with a text and what is known of it."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit, Segment
from qda_worker.client.readers.text_source import SourceLine
from qda_worker.client.results import ItemError

_LINE_FORMAT: Final = 'give {"id": "…", "text": "…"} on each line'

# Lines in a wrong format that are held back until one is right. A file without any is refused as a whole.
_HELD_BACK_LINES: Final = 1_000


def read_json_lines(lines: Iterable[SourceLine], source: str) -> Iterator[Segment]:
    """Yield the text of each line.

    Raises:
        UsageError: when no line is in the right format.
    """
    wrong: list[InvalidSegment] = []
    any_right = False
    for line in lines:
        segment, in_format = _read_line(line, source)
        any_right |= in_format
        if isinstance(segment, InvalidSegment) and not any_right and len(wrong) < _HELD_BACK_LINES:
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
    raise UsageError(f"{source}, {wrong[0].error.message}", wrong[0].error.remedy or _LINE_FORMAT)


def _read_line(line: SourceLine, source: str) -> tuple[Segment, bool]:
    """Return the text of a line, and whether the line is in the right format."""
    number, place = str(line.number), Place(PlaceUnit.LINE, line.number)

    def invalid(error: ItemError, text_id: str = number) -> InvalidSegment:
        return InvalidSegment("", text_id, source, place=place, error=error)

    def wrong(found: str, text_id: str = number) -> InvalidSegment:
        message = f"line {number}: found {found}"
        return invalid(ItemError("ARGUMENT_INVALID", message, _LINE_FORMAT), text_id)

    if line.error is not None:
        return invalid(line.error), False
    try:
        value: Any = json.loads(line.text.removeprefix("\ufeff"))  # files with a mark that were joined
    except (ValueError, RecursionError) as error:
        return wrong(f"no JSON ({error})"), False
    fields = value if isinstance(value, dict) else {"text": value}
    identifier, language = fields.get("id"), fields.get("language")
    known_id = isinstance(identifier, str | int | float) and not isinstance(identifier, bool)
    # As in a table, an empty id is none.
    text_id = (str(identifier) if known_id and not _is_missing(identifier) else "") or number
    if "text" not in fields:
        return wrong('an object without "text"', text_id), False
    content = fields["text"]
    if _is_missing(content):
        missing = ItemError("TEXT_EMPTY", f"line {number}: the text is missing (null)", "leave the line out")
        return invalid(missing, text_id), True
    if not isinstance(content, str):
        return wrong('neither a string nor an object with a string "text"', text_id), False
    if not (known_id or _is_missing(identifier)) or not (isinstance(language, str) or _is_missing(language)):
        return wrong('an object whose "id" or "language" is no string', text_id), False
    speaker = fields.get("speaker")
    return (
        Segment(
            content,
            text_id,
            source,
            speaker=speaker if isinstance(speaker, str) and speaker else None,
            start=_seconds(fields.get("start")),
            end=_seconds(fields.get("end")),
            place=place,
            language=language or "",
        ),
        True,
    )


def _is_missing(value: object) -> bool:
    """Return whether a value is null, or the NaN that pandas writes for a missing one."""
    return value is None or value != value  # noqa: PLR0124 - only NaN differs from itself


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
