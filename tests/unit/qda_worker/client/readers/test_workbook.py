"""Excel workbooks."""

import datetime
import io
import struct
import zipfile
from pathlib import Path
from typing import Final

import pytest
from openpyxl import Workbook

from model_cache.errors import UsageError
from tests.support.document_files import errors, read, texts, zipped

TYPES: Final = "[Content_Types].xml"


def workbook(rows: list[list[object]], title: str = "Tabelle1") -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    other = book.create_sheet("Andere")
    other.append(["text"])
    other.append(["anders"])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_rows_and_cells_of_every_type_are_texts(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["Nr", "text"], [1, "Früh\nschön 😀"], [2, None], [3.0, 7], [4, 2.5], [5, datetime.date(2021, 3, 12)],
        [None, None], [6, "#N/A"], [7, "Ende"],
    ]  # fmt: skip
    found = read(workbook(rows), "a.xlsx", tmp_path, id_column="Nr")
    assert [(each.id, each.text) for each in found if each.text] == [
        ("1", "Früh\nschön 😀"), ("3", "7"), ("4", "2.5"), ("5", "2021-03-12"), ("7", "Ende"),
    ]  # fmt: skip
    assert errors(found) == {"2": "TEXT_EMPTY", "6": "TEXT_EMPTY"}


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    content = workbook([["text"], ["gut"]])
    assert texts(read(content, "a.xlsx", tmp_path)) == ["gut"]
    assert texts(read(content, "a.xlsx", tmp_path, sheet="Andere")) == ["anders"]
    with pytest.raises(UsageError, match='no sheet "Dritte"') as caught:
        read(content, "a.xlsx", tmp_path, sheet="Dritte")
    assert "Tabelle1, Andere" in caught.value.remedy


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='no column "Antwort"'):
        read(workbook([["Nr", "text"], [1, "gut"]]), "a.xlsx", tmp_path, column="Antwort")


def test_entities_and_damage_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha">]><workbook><sheets>&a;</sheets></workbook>'
    for content in (zipped(("xl/workbook.xml", bomb)), workbook([["text"], ["gut"]])[:-300]):
        with pytest.raises(UsageError, match="damaged"):
            read(content, "a.xlsx", tmp_path)


def claiming(content: bytes, part: str, mebibytes: int) -> bytes:
    """Return a workbook whose directory says that a part unpacks to so much."""
    changed = bytearray(content)
    at = -1
    while (at := changed.find(b"PK\x01\x02", at + 1)) >= 0:
        if changed[at + 46 :].startswith(part.encode()):
            changed[at + 20 : at + 28] = struct.pack("<II", mebibytes * 2**20 // 10, mebibytes * 2**20)
            return bytes(changed)
    raise AssertionError(part)


def with_part(part: str, kind: str) -> bytes:
    """Return a workbook with a further part, whose type is given unless it is empty."""
    with zipfile.ZipFile(io.BytesIO(workbook([["text"], ["gut"]]))) as archive:
        parts = {part: b"<sst/>"} | {name: archive.read(name) for name in archive.namelist()}
    if kind:
        override = f'<Override PartName="/{part}" ContentType="application/{kind}+xml"/></Types>'
        parts[TYPES] = parts[TYPES].replace(b"</Types>", override.encode())
    return zipped(*parts.items())


@pytest.mark.parametrize(
    ("part", "kind", "limit"),
    [
        ("xl/styles.xml", "", 128), ("xl/worksheets/_rels/sheet1.xml.rels", "", 128), ("xl/sharedStrings.xml", "", 256),
        ("xl/worksheets/b.xml", "sheet.main", 128), ("xl/worksheets/s.xml", "sharedStrings", 256),
    ],
)  # fmt: skip
def test_parts_that_are_read_into_memory_have_a_limit(
    part: str, kind: str, limit: int, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"unpacks to more than {limit} MiB"):
        read(claiming(with_part(part, kind), part, limit + 1), "a.xlsx", tmp_path)


@pytest.mark.parametrize(
    "part", ["xl/worksheets/sheet1.xml", "xl/worksheets/sheet9.xml", "xl/media/image1.png"]
)
def test_sheets_and_pictures_may_be_larger(part: str, tmp_path: Path) -> None:
    assert texts(read(claiming(with_part(part, ""), part, 1_000), "a.xlsx", tmp_path)) == ["gut"]


def test_a_workbook_that_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    content = zipped(("xl/workbook.xml", "<workbook/>"), ("xl/worksheets/sheet1.xml", " " * 50_000_000))
    with pytest.raises(UsageError, match="exhaust the memory"):
        read(content, "a.xlsx", tmp_path)
