"""Workbooks: texts that look like formulas, characters that XML lacks, limits of cells and sheets."""

import zipfile
from io import BytesIO
from typing import Any

import pytest

from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.xlsx_table import MAX_CELL, write_xlsx
from tests.support.result_records import HOSTILE, OPTIONS, sentiment_record

openpyxl = pytest.importorskip("openpyxl")


def rows(texts: list[str], **limits: int) -> list[list[dict[str, Any]]]:
    """Return the cells of each sheet by their columns."""
    file = BytesIO()
    records = [sentiment_record(f"={number}", text) for number, text in enumerate(texts)]
    write_xlsx(records, layout_of(OPTIONS["sentiment"]), file, **limits)
    sheets = []
    for sheet in openpyxl.load_workbook(file).worksheets:
        header, *others = sheet.iter_rows()
        names = [cell.value for cell in header]
        sheets.append([dict(zip(names, row, strict=True)) for row in others])
    return sheets


def test_texts_are_texts_and_numbers_are_numbers() -> None:
    [cells] = rows([*HOSTILE, "#N/A"])
    assert {row["text"].data_type for row in cells} == {"s"}
    assert {row["id"].data_type for row in cells} == {"s"}
    assert {(row["positive"].data_type, row["positive"].value) for row in cells} == {("n", 0.75)}
    assert cells[-1]["text"].value == "#N/A"
    assert cells[6]["text"].value == HOSTILE[6]
    assert "�" in cells[4]["text"].value


def test_a_text_that_is_too_long_is_cut_with_a_note() -> None:
    [[row]] = rows(["😀" * MAX_CELL])
    assert row["text"].value.endswith(f"[cut: the text has {MAX_CELL:,} characters]")
    assert len(row["text"].value.encode("utf-16-le")) // 2 <= MAX_CELL


def test_rows_beyond_the_last_one_are_on_a_further_sheet() -> None:
    assert [len(sheet) for sheet in rows(["a"] * 5, max_rows=3)] == [2, 2, 1]


def test_no_part_of_the_file_is_a_formula() -> None:
    file = BytesIO()
    write_xlsx([sentiment_record("=1", HOSTILE[6])], layout_of(OPTIONS["sentiment"]), file)
    assert b"<f>" not in zipfile.ZipFile(file).read("xl/worksheets/sheet1.xml")
