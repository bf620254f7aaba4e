"""How to read files: format, segments, encoding, columns. Imports nothing heavy, because `--help` needs it."""

from dataclasses import dataclass
from enum import StrEnum


class InputFormat(StrEnum):
    """The format of a file."""

    AUTO = "auto"  # by its content and its name
    LINES = "lines"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"


class Segmentation(StrEnum):
    """What is one text."""

    LINE = "line"
    PARAGRAPH = "paragraph"
    TURN = "turn"
    SENTENCE = "sentence"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How to read files.

    Attributes:
        input: the format of all files.
        segment: what is one text; None: what suits each file. Tables and JSON Lines have a text in each row.
        encoding: Python's name of the encoding of text files; empty: that of the byte order mark, else UTF-8, and for
            CSV also Windows-1252.
        column: name or number (from 1) of the column with the texts; empty: `text`, or the only one.
        id_column: name or number of the column with the ids; empty: `id`, or the number of the row.
        sheet: name of the sheet of a workbook; empty: the first one.
        header: whether the first row of a table has the names of the columns.
    """

    input: InputFormat = InputFormat.AUTO
    segment: Segmentation | None = None
    encoding: str = ""
    column: str = ""
    id_column: str = ""
    sheet: str = ""
    header: bool = True
