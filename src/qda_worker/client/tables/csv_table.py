"""Tables as CSV that a spreadsheet opens with a double click.

The file begins with a byte order mark, without which Excel reads UTF-8 as Windows-1252. Fields are separated by `;` and
decimals by a comma by default, as Excel expects them in German; another delimiter has decimal points. All texts are
quoted, and numbers are not, so that numbers stay numbers.

A spreadsheet computes a cell that looks like a formula, also if it is quoted: `=HYPERLINK(...)` in an interview would
become a link that sends the table's content away (CWE-1236). Such a text gets an apostrophe before it.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.tables.layout import Cell, Layout

BOM: Final = "\ufeff"

_LINE_END: Final = "\r\n"

# Characters with which a formula begins; the wide ones are those of East Asian keyboards.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

# A field that is read may be as long as a request; the default limit of Python's reader is 128 KiB.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class CsvStyle:
    """How fields and numbers are separated.

    Attributes:
        delimiter: one character between fields.
        decimal: character between a number's integer and fraction.
    """

    delimiter: str = ";"
    decimal: str = ","


def csv_style(delimiter: str | None) -> CsvStyle:
    """Return the style of `--delimiter`; `tab` is the tab.

    Raises:
        UsageError: when it is no character that can separate fields.
    """
    if delimiter is None or delimiter == ";":
        return CsvStyle()
    chosen = "\t" if delimiter == "tab" else delimiter
    if len(chosen) != 1 or chosen.isalnum() or chosen in "\"'\r\n\0-+.\ufeff":
        raise UsageError(f'--delimiter: found "{delimiter}"', 'give one character, as ";", "," or "tab"')
    return CsvStyle(chosen, ".")


def header_lines(layout: Layout, style: CsvStyle) -> str:
    """Return the byte order mark and the line with the names of the columns."""
    return BOM + _lines([[column.name for column in layout.columns]], style)


def row_lines(rows: Iterable[Sequence[Cell]], style: CsvStyle) -> str:
    """Return the lines of rows."""
    return _lines(rows, style)


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: itself, or with an apostrophe before it."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


@dataclass(frozen=True, slots=True)
class ScannedCsv:
    """What a CSV file of ours has.

    Attributes:
        ids: those of the texts whose rows are complete, as they are in the file.
        end: the number of bytes up to the end of their rows.
        options: the last cell of the last row; None if there is none.
    """

    ids: list[str]
    end: int
    options: str | None


def scan_csv(path: Path, layout: Layout, style: CsvStyle) -> ScannedCsv:
    """Find the texts in a file that a run has left, which may end within a row.

    If a text may have several rows, those of the last one are not counted: more may be missing.

    Raises:
        UsageError: when the file has other columns, or a row that is damaged before others.
    """
    ids: list[str] = []
    end, options = 0, None
    with path.open("rb") as file:
        position = [0]
        lines = _complete_lines(file, position)
        reader = csv.reader(lines, delimiter=style.delimiter, strict=True)
        header = next(reader, None)
        if header is None:
            return ScannedCsv([], 0, None)
        if header != [column.name for column in layout.columns]:
            raise UsageError(
                f"{path} has other columns than this command writes",
                "give the options of the run that wrote it, --delimiter among them, or another --output",
            )
        end = position[0]
        starts: list[int] = []  # of the last text
        try:
            for row in reader:
                if len(row) != len(header):
                    break
                counter = layout.counter
                if counter is None or row[counter] in layout.first_numbers:
                    ids.append(row[0])
                    starts = [end]
                end, options = position[0], row[-1]
        except csv.Error:  # usually, the file ends within a quoted field
            pass
        damaged_line = reader.line_num
        if next(lines, None) is not None:  # it does not end here, so no run was interrupted here
            raise UsageError(
                f"{path}, line {damaged_line}: found no result", "repair the line, or give another --output"
            )
    if layout.counter is not None and ids:
        ids.pop()
        end = starts[0]
    return ScannedCsv(ids, end, options)


def _complete_lines(file: Iterable[bytes], position: list[int]) -> Iterator[str]:
    """Yield lines that have their end; `position` is the offset behind the last one."""
    for line in file:
        if not line.endswith(b"\n"):
            return
        position[0] += len(line)
        yield line.decode("utf-8-sig" if position[0] == len(line) else "utf-8", errors="replace")


def _lines(rows: Iterable[Sequence[Cell]], style: CsvStyle) -> str:
    return "".join(style.delimiter.join(_field(cell, style) for cell in row) + _LINE_END for row in rows)


def _field(cell: Cell, style: CsvStyle) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.9g}".replace(".", style.decimal)
    if isinstance(cell, int):
        return str(cell)
    text = json.dumps(cell) if isinstance(cell, list) else harmless(cell)
    return '"' + text.replace('"', '""') + '"'
