"""Text as the programs print it for people: sizes in decimal units, aligned columns, no control characters.

File names, records and status files of a cache may be written by others. Printed as they are, they could move the
cursor, change colours or forge lines of a report. `printable` replaces such characters by their escapes, and every
line that a program writes to a terminal, a log or an Event passes through it.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

# Characters that a terminal or a viewer of logs interprets instead of showing them: C0 and C1 controls, line and
# paragraph separators, marks of writing direction (which reorder a line), and halves of surrogate pairs.
CONTROL_CHARACTERS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return one line of text with every control character, and every line break, shown as its escape in Python."""
    return CONTROL_CHARACTERS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """Return text of several lines with the control characters of each line as their escapes."""
    return "\n".join(map(printable, text.split("\n")))


def one_line(text: str, limit: int) -> str:
    """Return the text without line breaks and control characters, and with at most `limit` bytes of UTF-8.

    A text that is too long loses its middle: what happened is at its beginning, what to do about it at its end.
    """
    line = printable(" ".join(text.split()))
    encoded = line.encode()
    if len(encoded) <= limit:
        return line
    half = (limit - len(" … ".encode())) // 2
    first, last = encoded[:half].decode(errors="ignore"), encoded[-half:].decode(errors="ignore")
    return f"{first} … {last}"


def human_bytes(count: int) -> str:
    """Return a size in bytes for people, in units of 1000: `999 B`, `1.2 kB`, `2.3 GB`."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.95 or unit == "PB":
            break
    return f"{size:.1f} {unit}"


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 file`, `2 files`; `plural` where that is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def align_columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return rows as text with aligned columns; control characters of a cell are shown as their escapes.

    Args:
        rows: rows of cells, all with the same number of columns.
        right: indices of the columns to align to the right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
