"""Choose the columns of a table with texts, ids and speakers, and make segments of its rows. No I/O."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from model_cache.errors import UsageError
from qda_worker.client.readers.options import ReadingOptions
from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit, Segment
from qda_worker.client.readers.text_source import NUL_REMEDY
from qda_worker.client.results import ItemError

# Names of columns that are used if none is given, in lower case.
_TEXT_NAMES: Final = ("text",)
_ID_NAMES: Final = ("id",)
_SPEAKER_NAMES: Final = ("speaker", "sprecher", "sprecherin")

# What stands in a cell whose value is missing: programs for statistics, and Excel's errors.
_MISSING: Final = frozenset(
    {"NA", "NaN", "nan", "NULL", "<NA>", "#N/A", "#NV", "#WERT!", "#VALUE!", "#BEZUG!", "#REF!"}
)
_LISTED_COLUMNS: Final = 30

# Bytes without a meaning in the encoding of the file, as Python's `surrogateescape` keeps them.
_UNDECODED: Final = re.compile("[\udc80-\udcff]")

Cells: TypeAlias = Sequence[str]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        number: as a spreadsheet numbers it, from 1, the header included.
        cells: their texts; empty for an empty cell.
        error: why it cannot be read; None if it can.
    """

    number: int
    cells: Cells
    error: ItemError | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it was read and has no text."""
        return self.error is None and not any(map(str.strip, self.cells))


@dataclass(frozen=True, slots=True)
class Columns:
    """The positions of the columns that are used; None: there is none."""

    text: int
    id: int | None
    speaker: int | None


def read_rows(rows: Iterable[Row], options: ReadingOptions, source: str) -> Iterator[Segment]:
    """Yield the text of each row that is not empty.

    Args:
        rows: all rows of the table; the first one may have the names of the columns.
        options: which columns to use.
        source: the file's name.

    Raises:
        UsageError: when the table has no such column, or no row.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    if first.error is not None:
        raise UsageError(f"{source}, {first.error.message}", first.error.remedy)
    columns = choose_columns(first.cells, options, source)
    if not options.header:
        yield from _row_segment(first, columns, source)
    for row in rows:
        yield from _row_segment(row, columns, source)


def choose_columns(first: Cells, options: ReadingOptions, source: str) -> Columns:
    """Return the columns to use.

    Args:
        first: the first row.
        options: the columns that the user names.
        source: the file's name.

    Raises:
        UsageError: when there is no such column.
    """
    names = [name.strip().removeprefix("\ufeff") for name in first] if options.header else []
    count = len(first)

    def find(given: str, option: str) -> int:
        exact = [at for at, name in enumerate(names) if name == given.strip()]
        found = exact or [at for at, name in enumerate(names) if name.casefold() == given.strip().casefold()]
        if len(found) > 1:
            raise UsageError(
                f'{option}: {source} has {len(found)} columns "{given}"',
                "give the number of the column, from 1",
            )
        if not found and given.strip().isdecimal() and 1 <= int(given) <= count:
            found = [int(given) - 1]
        if not found:
            raise UsageError(f'{option}: {source} has no column "{given}"', _column_remedy(names, count))
        return found[0]

    def known(candidates: Sequence[str]) -> int | None:
        return next((at for at, name in enumerate(names) if name.casefold() in candidates), None)

    text = find(options.column, "--column") if options.column else known(_TEXT_NAMES)
    if text is None:
        if count != 1:
            raise UsageError(
                f"{source} has {count} columns, and none with the name text",
                f"name the one with the texts by --column: {_column_remedy(names, count)}",
            )
        text = 0
    identifier = find(options.id_column, "--id-column") if options.id_column else known(_ID_NAMES)
    return Columns(text, identifier if identifier != text else None, known(_SPEAKER_NAMES))


def _column_remedy(names: Cells, count: int) -> str:
    if not names:
        return f"give a number from 1 to {count}"
    listed = ", ".join(name or f"(column {at})" for at, name in enumerate(names[:_LISTED_COLUMNS], start=1))
    more = f" and {count - _LISTED_COLUMNS} more" if count > _LISTED_COLUMNS else ""
    return f"give one of: {listed}{more}"


def _row_segment(row: Row, columns: Columns, source: str) -> Iterator[Segment]:
    """Yield the segment of a row; none for an empty row."""
    place = Place(PlaceUnit.ROW, row.number)
    cell = _cell_reader(row.cells)
    text_id = cell(columns.id).strip() or str(row.number)
    if row.error is not None:
        yield InvalidSegment("", text_id, source, place=place, error=row.error)
        return
    if row.is_blank:
        return
    text = cell(columns.text)
    error = _text_error(text, row, columns)
    if error is not None:
        yield InvalidSegment("", text_id, source, place=place, error=error)
        return
    yield Segment(text, text_id, source, speaker=cell(columns.speaker).strip() or None, place=place)


def _cell_reader(cells: Cells) -> Callable[[int | None], str]:
    return lambda column: cells[column] if column is not None and column < len(cells) else ""


def _text_error(text: str, row: Row, columns: Columns) -> ItemError | None:
    """Return why the text of a row cannot be sent; None if it can."""
    if columns.text >= len(row.cells):
        message = f"row {row.number} has {len(row.cells)} columns; the text is in column {columns.text + 1}"
        return ItemError("ARGUMENT_INVALID", message, "complete the row, or leave it out")
    if not text.strip() or text.strip() in _MISSING:
        found = f' ("{text.strip()}")' if text.strip() else ""
        return ItemError("TEXT_EMPTY", f"row {row.number}: the text is missing{found}", "leave the row out")
    if _UNDECODED.search(text):
        return ItemError("TEXT_NOT_UTF8", f"row {row.number} is not UTF-8", "repair it, or give --encoding")
    if "\0" in text:
        return ItemError("ARGUMENT_INVALID", f"row {row.number} has a NUL character", NUL_REMEDY)
    return None
