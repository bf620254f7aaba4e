"""Tables as Excel workbooks, with openpyxl's writer that holds one row at a time.

Texts are written as texts, so that none becomes a formula. What a workbook cannot hold is adapted visibly: control
characters become U+FFFD, a text that is too long for a cell ends with a note, and rows beyond the last one of a sheet
go to a further sheet. Vectors belong into Parquet: here they are lists in a text.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

from qda_worker.client.extra_packages import require_package
from qda_worker.client.tables.layout import Cell, Kind, Layout
from qda_worker.client.tables.records import Record

# Limits of the format (Excel specifications).
MAX_ROWS: Final = 1_048_576
MAX_CELL: Final = 32_767

# Characters that XML cannot contain.
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_NOTE: Final = " … [cut: the text has {count:,} characters]"

# Width of columns, in characters.
_WIDTHS: Final = {"text": 80, "similar_text": 80, "id": 14, "error": 24, "entity": 24, "options": 30}
_WIDTH: Final = 13


def write_xlsx(
    records: Iterable[Record], layout: Layout, file: BinaryIO, *, max_rows: int = MAX_ROWS
) -> None:
    """Write the rows of all records to a file.

    Raises:
        UsageError: when openpyxl is not installed.
    """
    require_package("openpyxl", "XLSX", "write csv")
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    def cell(sheet: Any, value: Cell) -> Any:
        if not isinstance(value, str | list):
            return value
        text = json.dumps(value) if isinstance(value, list) else value
        made = WriteOnlyCell(sheet, value=_storable(text))
        made.data_type = (
            "s"  # openpyxl takes a text that begins with = for a formula, one like #N/A for an error
        )
        return made

    workbook = Workbook(write_only=True)
    bold = Font(bold=True)
    sheet: Any = None
    free_rows = 0
    for row in (row for record in records for row in layout.rows(record)):
        if sheet is None or not free_rows:
            sheet = _add_sheet(workbook, layout)
            names = [WriteOnlyCell(sheet, value=column.name) for column in layout.columns]
            for name in names:
                name.font = bold
            sheet.append(names)
            free_rows = max_rows - 1
        sheet.append([cell(sheet, value) for value in row])
        free_rows -= 1
    if sheet is None:
        _add_sheet(workbook, layout).append([column.name for column in layout.columns])
    workbook.save(file)


def _add_sheet(workbook: Any, layout: Layout) -> Any:
    from openpyxl.utils import get_column_letter

    number = len(workbook.sheetnames) + 1
    sheet = workbook.create_sheet("results" if number == 1 else f"results {number}")
    sheet.freeze_panes = "A2"
    for position, column in enumerate(layout.columns, start=1):
        width = _WIDTHS.get(column.name, 24 if column.kind is Kind.VECTOR else _WIDTH)
        sheet.column_dimensions[get_column_letter(position)].width = width
    return sheet


def _storable(text: str) -> str:
    text = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    # Excel counts UTF-16 units.
    units = len(text) + sum(char > "\uffff" for char in text) if len(text) > MAX_CELL // 2 else 0
    if units <= MAX_CELL:
        return text
    note = _NOTE.format(count=len(text))
    room = text.encode("utf-16-le")[: 2 * (MAX_CELL - len(note))]
    return room.decode("utf-16-le", errors="ignore") + note
