"""Read CSV and TSV: delimiter and encoding as German Excel, LibreOffice, R and pandas write them.

The delimiter is that of a first line `sep=;`, else the one by which the first rows have the same number of cells.
Without a byte order mark the encoding is decided at the first line that is not ASCII: UTF-8 if the line is, else
Windows-1252, in which Excel saves "CSV". A row whose quotation marks do not match is an error of this row; the next
line is read as the next row, so that one quotation mark does not swallow the rest of the file. A row with more cells
than there are names of columns is an error too: a delimiter in its text has cut it. Rows are read one by one, in
constant memory.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, dropwhile, islice
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.readers import encodings
from qda_worker.client.readers.table import Row
from qda_worker.client.readers.text_source import MAX_BYTES, ByteSource, TextSource, byte_lines
from qda_worker.client.results import ItemError
from qda_worker.limits import MAX_REQUEST_BYTES

_DELIMITERS: Final = ";,\t|"
# For a file of one column: a character that texts do not have.
_NO_DELIMITER: Final = "\x1f"
# Lines that are looked at to find the delimiter, and that a row may have.
_SAMPLE_LINES: Final = 100
_MOST_LINES: Final = 10_000
_SINGLE_BYTE: Final = "cp1252"
_QUOTE_REMEDY: Final = (
    'write each quotation mark within a cell twice ("") and put the cell in quotation marks'
)

_LONGER_REMEDY: Final = (
    "put a cell that contains the delimiter in quotation marks; "
    "name every column in the first row (R: col.names = NA)"
)


def read_delimited(
    source: ByteSource, encoding: str, warn: Callable[[str], None], *, header: bool = True
) -> Iterator[Row]:
    """Yield the rows of a file, the header included, without blank ones at its beginning.

    Args:
        source: the file.
        encoding: what the user says; empty: nothing.
        warn: called with a message when the encoding was assumed.
        header: whether the first row has the names of the columns.

    Raises:
        UsageError: when the file is in another encoding.
    """
    # The limit of the module csv is one for the whole process, and 128 KiB by default: a long interview in a cell.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_REQUEST_BYTES))
    lines = _lines(source, encoding, warn)
    sample = list(islice(lines, _SAMPLE_LINES))
    delimiter = ""
    if sample and (first := sample[0] or "").lower().startswith("sep=") and len(first) <= 5:
        delimiter = first[4:] or "\t"
        del sample[0]  # Excel does not count it as a row
    rows = dropwhile(
        lambda row: row.is_blank, _rows(chain(sample, lines), delimiter or _find_delimiter(sample))
    )
    yield from _refuse_longer(rows) if header else rows


def _lines(source: ByteSource, encoding: str, warn: Callable[[str], None]) -> Iterator[str | None]:
    """Yield the decoded lines, blank ones included, without their ends; None for one that is too long."""
    chosen = encodings.choose_encoding(source.head, encoding, source.name)
    marked, length = encodings.split_mark(source.head)
    if chosen != encodings.UTF8:
        yield from TextSource(source, encoding).every_line()
        return
    chunks = source.chunks()
    lines = byte_lines(chain([next(chunks, b"")[length:]], chunks))
    decode = "" if not (marked or encoding) else encodings.UTF8
    for number, content in enumerate(lines, start=1):
        if content is None:
            yield None
            continue
        if not decode and not content.isascii():
            decode = _decide(content, source.name, number, warn)
        yield _decoded(content, decode or encodings.UTF8)


def _decoded(content: bytes, encoding: str) -> str:
    """Decode a line; bytes without a meaning become lone surrogates, which are an error of their text."""
    return content.decode(encoding, errors="surrogateescape")


def _decide(content: bytes, name: str, number: int, warn: Callable[[str], None]) -> str:
    """Return the encoding of a file by its first line that is not ASCII.

    Raises:
        UsageError: when it is neither UTF-8 nor Windows-1252.
    """
    if encodings.is_damaged_utf8(content):
        return encodings.UTF8
    remedy = encodings.not_utf8_remedy(content)
    if "windows-1252" not in remedy:
        raise UsageError(f"{name} is not UTF-8: line {number}", remedy)
    warn(f"{name} is not UTF-8 and is read as windows-1252; if letters are wrong, give --encoding")
    return _SINGLE_BYTE


def _find_delimiter(sample: list[str | None]) -> str:
    """Return the delimiter by which most of the first rows have as many cells as the first one."""
    best, best_score = _NO_DELIMITER, (0.0, 0)
    for delimiter in _DELIMITERS:
        rows = [row.cells for row in _rows(sample, delimiter) if row.error is None and any(row.cells)]
        if not rows or len(rows[0]) < 2:
            continue
        same = sum(len(cells) == len(rows[0]) for cells in rows) / len(rows)
        if (same, len(rows[0])) > best_score:
            best, best_score = delimiter, (same, len(rows[0]))
    return best


class _Feed:
    """Gives lines to `csv.reader`, and gives those of a broken row again."""

    def __init__(self, lines: Iterable[str | None]) -> None:
        self._lines = iter(lines)
        self._again: deque[str | None] = deque()
        self.taken: list[str | None] = []
        self._size = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        if len(self.taken) >= _MOST_LINES or self._size > MAX_BYTES:
            raise csv.Error("no quotation mark ends the cell")
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        if line is None:
            raise csv.Error("the line is too long")
        self._size += len(line)
        return line + "\n"

    def begin_row(self) -> None:
        """Begin the next row behind the lines that were taken."""
        self.taken.clear()
        self._size = 0

    def drop_first(self) -> None:
        """Give up the first line of the row, and give its other lines again."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.begin_row()


def _refuse_longer(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows; one that has text in more columns than the first one names gets an error."""
    width: int | None = None
    for row in rows:
        if width is None:
            width = len(row.cells)
        if row.error is None and any(map(str.strip, row.cells[width:])):
            message = f"row {row.number} has {len(row.cells)} cells, and the first row has {width}"
            yield Row(row.number, row.cells, ItemError("ARGUMENT_INVALID", message, _LONGER_REMEDY))
        else:
            yield row


def _rows(lines: Iterable[str | None], delimiter: str) -> Iterator[Row]:
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        feed.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"row {number} is not valid CSV: {error}"
            feed.drop_first()
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            yield Row(number, (), ItemError("ARGUMENT_INVALID", message, _QUOTE_REMEDY))
            continue
        yield Row(number, cells)
