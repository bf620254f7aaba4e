"""Read the rows of an Excel workbook (xlsx), one by one."""

import datetime
import warnings
from collections.abc import Iterator
from typing import IO, Any, Final

from model_cache.errors import UsageError
from qda_worker.client.extra_packages import import_package
from qda_worker.client.readers.office_package import MAX_PART_BYTES, OfficePackage
from qda_worker.client.readers.table import Row

# openpyxl streams the sheets and reads all other XML into memory, even in its read-only mode. The shared strings
# are the texts of all cells.
_SHEETS: Final = "xl/worksheets/"
_STRINGS: Final = "xl/sharedStrings.xml"
_STRINGS_TYPE: Final = "sharedStrings+xml"
_SHEET_TYPE: Final = "worksheet+xml"
_MAX_STRINGS_BYTES: Final = 256 * 2**20
_XML_ENDINGS: Final = (".xml", ".rels")

# Rows that programs leave behind the last one with content; a sheet may declare a million.
_MOST_EMPTY_ROWS: Final = 10_000


def read_workbook(stream: IO[bytes], source: str, sheet: str) -> Iterator[Row]:
    """Yield the rows of a sheet.

    Args:
        stream: the file; it must be seekable.
        source: its name, for messages.
        sheet: the name of the sheet; empty: the first one.

    Raises:
        UsageError: when it is damaged or too large, has no such sheet, or openpyxl is not installed.
    """
    with OfficePackage(stream, source) as package:
        _check_parts(package)
    openpyxl: Any = import_package("openpyxl", "an Excel workbook", "save it as CSV")
    import_package("defusedxml", "an Excel workbook", "save it as CSV")  # with it, openpyxl refuses entities
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and the like, which do not matter for texts
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        try:
            yield from _rows(_find_sheet(book, sheet, source))
        finally:
            book.close()
    except UsageError:
        raise
    except Exception as error:
        # openpyxl raises whatever a damaged part makes it stumble over
        raise UsageError(
            f"{source} is damaged or no Excel workbook ({type(error).__name__}: {error})",
            "open it with Excel or LibreOffice and save it again",
        ) from error


def _check_parts(package: OfficePackage) -> None:
    """Check the size of each part that openpyxl reads into memory: it finds some by their type, some by their name.

    Raises:
        UsageError: when one is too large.
    """
    types = package.parse("[Content_Types].xml")
    typed = [
        (each.get("PartName", "")[1:], each.get("ContentType", ""))
        for each in (() if types is None else types)
    ]
    strings = {_STRINGS, *(part for part, kind in typed if kind.endswith(_STRINGS_TYPE))}
    loaded = {part for part, kind in typed if not kind.endswith(_SHEET_TYPE)}
    for part in package.parts():
        is_sheet = part.startswith(_SHEETS) and not part.endswith(".rels")
        if part in strings:
            package.check_size(part, _MAX_STRINGS_BYTES)
        elif part in loaded or (part.endswith(_XML_ENDINGS) and not is_sheet):
            package.check_size(part, MAX_PART_BYTES)


def _find_sheet(book: Any, sheet: str, source: str) -> Any:
    if sheet and sheet not in book.sheetnames:
        raise UsageError(
            f'--sheet: {source} has no sheet "{sheet}"', f"give one of: {', '.join(book.sheetnames)}"
        )
    sheets = [each for each in book.worksheets if not sheet or each.title == sheet]
    if not sheets:
        raise UsageError(f"{source} has no sheet with cells", "give a workbook with a table")
    sheets[0].reset_dimensions()  # what the file says of its size may be wrong
    return sheets[0]


def _rows(sheet: Any) -> Iterator[Row]:
    empty, width = 0, 0
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [_cell_text(value) for value in values]
        empty = 0 if any(cells) else empty + 1
        if empty > _MOST_EMPTY_ROWS:
            return
        width = width or len(cells)  # the file may leave out empty cells at the end of a row
        yield Row(number, cells + [""] * (width - len(cells)))


def _cell_text(value: object) -> str:
    """Return a cell as a spreadsheet shows it by default."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "WAHR" if value else "FALSCH"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    return str(value).replace("_x000D_", "").replace("\r\n", "\n")
