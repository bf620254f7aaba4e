"""CSV for spreadsheets: encoding, separators, formulas, and the rows of an interrupted run."""

import csv
from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.client.tables.csv_table import (
    CsvStyle,
    csv_style,
    harmless,
    header_lines,
    row_lines,
    scan_csv,
)
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.records import Record
from tests.support.result_records import OPTIONS, entity_record, sentiment_record


def write(path: Path, command: str, records: list[Record], style: CsvStyle | None = None) -> bytes:
    layout, style = layout_of(OPTIONS[command]), style or CsvStyle()
    rows = [row for record in records for row in layout.rows(record)]
    path.write_bytes((header_lines(layout, style) + row_lines(rows, style)).encode())
    return path.read_bytes()


def test_german_excel_reads_it(tmp_path: Path) -> None:
    """A byte order mark, `;` between fields and `,` in numbers; texts are quoted and numbers are not."""
    content = write(
        tmp_path / "r.csv", "sentiment", [sentiment_record("1", 'Er sagte: "Ja; gut"\nund ging.')]
    )
    assert content.startswith(b'\xef\xbb\xbf"id";"source";')
    assert b";0,75;0,2;0,05;5;5;" in content
    assert b'"Er sagte: ""Ja; gut""\nund ging."' in content
    assert content.endswith(b"\r\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "＝"])
def test_a_text_that_looks_like_a_formula_is_a_text(start: str) -> None:
    assert harmless(f"{start}1+1") == f"'{start}1+1"
    assert harmless("Ja = nein") == "Ja = nein"


def test_numbers_stay_numbers_below_zero() -> None:
    assert row_lines([[-0.5, -3, "-3", None]], CsvStyle()) == '-0,5;-3;"\'-3";\r\n'


def test_another_delimiter_has_decimal_points() -> None:
    assert row_lines([[0.5, "a"]], csv_style(",")) == '0.5,"a"\r\n'
    assert row_lines([[0.5, "a"]], csv_style("tab")) == '0.5\t"a"\r\n'
    with pytest.raises(UsageError, match="--delimiter"):
        csv_style("ab")


@pytest.mark.parametrize("command", ["sentiment", "entities"])
def test_every_beginning_of_a_file_is_continued_exactly(tmp_path: Path, command: str) -> None:
    """Whatever of the file a killed run has left, the kept part and the rest give the whole."""
    texts = ['Anna; "und" Ben\nkamen', "niemand", "=Anna", "Ben, Anna"]
    names = [("Anna", "Ben"), (), ("Anna",), ("Ben", "Anna")]
    records = (
        [entity_record("x", text, *each) for text, each in zip(texts, names, strict=True)]  # equal ids
        if command == "entities"
        else [sentiment_record("=1", text) for text in texts]
    )
    file = tmp_path / "r.csv"
    whole = write(file, command, records)
    layout = layout_of(OPTIONS[command])
    for size in range(0, len(whole) + 1, 3):
        file.write_bytes(whole[:size])
        found = scan_csv(file, layout, CsvStyle())
        left = records[len(found.ids) :]
        rest = row_lines((row for record in left for row in layout.rows(record)), CsvStyle()).encode()
        header = b"" if found.end else header_lines(layout, CsvStyle()).encode()
        assert whole[: found.end] + header + rest == whole, size
    read = list(csv.reader(whole.decode("utf-8-sig").splitlines(keepends=True), delimiter=";"))
    assert {row[0] for row in read[1:]} == ({"x"} if command == "entities" else {"'=1"})


@pytest.mark.parametrize("damage", [b'"2";"half\r\n', b"\r\n", b'"2";\r\n', b'"2"x;\r\n'])
def test_a_damaged_row_before_others_is_refused(tmp_path: Path, damage: bytes) -> None:
    """What follows it is not removed."""
    file = tmp_path / "r.csv"
    whole = write(file, "sentiment", [sentiment_record(str(each)) for each in range(4)])
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    with pytest.raises(UsageError, match=r"line [34]: found no result"):
        scan_csv(file, layout_of(OPTIONS["sentiment"]), CsvStyle())


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "r.csv", "sentiment", [sentiment_record("1")])
    with pytest.raises(UsageError, match="other columns"):
        scan_csv(tmp_path / "r.csv", layout_of(OPTIONS["entities"]), CsvStyle())
