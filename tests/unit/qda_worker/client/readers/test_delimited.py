"""CSV and TSV as Excel, LibreOffice, R and pandas write them, and rows that are wrong."""

import csv
import io
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.delimited import read_delimited
from qda_worker.client.readers.options import InputFormat, ReadingOptions
from qda_worker.client.readers.segment import Place, PlaceUnit
from qda_worker.client.readers.text_source import ByteSource
from tests.support.document_files import errors, read, texts

ROWS: Final = [
    ["id", "Alter", "text"],
    ["a", "5,5", "Früh; schön"],
    ["b", "", 'Er sagte: "Ja,\nnein."'],
    ["c", "7", "Gut"],
]
TEXTS: Final = ["Früh; schön", 'Er sagte: "Ja,\nnein."', "Gut"]


def written(delimiter: str, line_end: str = "\r\n") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=line_end).writerows(ROWS)
    return buffer.getvalue()


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_delimiter_and_encoding_are_found(delimiter: str, encoding: str, tmp_path: Path) -> None:
    warnings: list[str] = []
    found = read(written(delimiter).encode(encoding), "a.csv", tmp_path, warnings=warnings)
    assert texts(found) == TEXTS
    assert [each.id for each in found] == ["a", "b", "c"]
    assert [each.place for each in found] == [Place(PlaceUnit.ROW, number) for number in (2, 3, 4)]
    assert (encoding == "cp1252") == any("windows-1252" in warning for warning in warnings)


def test_the_line_with_the_delimiter_that_excel_writes_is_no_row(tmp_path: Path) -> None:
    found = read("sep=;\n" + written(";", "\n"), "a.csv", tmp_path)
    assert (texts(found), found[0].place) == (TEXTS, Place(PlaceUnit.ROW, 2))


@pytest.mark.parametrize(
    ("column", "id_column", "ids", "found"),
    [
        ("Alter", "text", ["Früh; schön", "3", "Gut"], ["5,5", "", "7"]),
        ("alter", "", ["a", "b", "c"], ["5,5", "", "7"]),
        ("3", "2", ["5,5", "3", "7"], TEXTS),
    ],
)
def test_columns_are_named_or_counted(
    column: str, id_column: str, ids: list[str], found: list[str], tmp_path: Path
) -> None:
    rows = read(written(";"), "a.csv", tmp_path, column=column, id_column=id_column)
    assert [row.text for row in rows] == found
    assert [row.id.replace('Er sagte: "Ja,\nnein."', "3") for row in rows] == ids


def test_a_table_without_a_header_has_a_text_in_its_first_row(tmp_path: Path) -> None:
    assert texts(read("a;Gut\nb;Schön\n", "a.csv", tmp_path, header=False, column="2")) == ["Gut", "Schön"]


def test_a_file_of_one_column_may_hold_every_delimiter(tmp_path: Path) -> None:
    content = "Antwort\nGut, schön; ja\nNein\n\nDoch, aber\n"
    found = read(content, "a.csv", tmp_path)
    assert texts(found) == ["Gut, schön; ja", "Nein", "Doch, aber"]
    assert [each.id for each in found] == ["2", "3", "5"]


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"column": "Antwort"}, 'has no column "Antwort"', "give one of: id, Alter, text"),
        ({"id_column": "Nr"}, '--id-column: .* has no column "Nr"', "give one of"),
        ({"column": "4"}, 'no column "4"', "give one of"),
        ({"header": False}, "has 3 columns", "a number from 1 to 3"),
    ],
)
def test_a_column_that_is_not_there_is_named(
    options: dict[str, str], message: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(written(";"), "a.csv", tmp_path, **options)  # type: ignore[arg-type]
    assert remedy in caught.value.remedy


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='2 columns "text"'):
        read("text;text\na;b\n", "a.csv", tmp_path, column="text")


def test_missing_and_bad_rows_spoil_nothing(tmp_path: Path) -> None:
    rows = [
        b"id;text", b"a;Gut", b"b;", b"c", b"d;NA", b";", b"", b'e;"offen', b"f;Sch\xc3\xb6n", b"g;ka\xffputt",
        b'h;"falsch" zitiert', b"i;N\0UL", b'j;"so ""ist"" es"', b"k;Ende",
    ]  # fmt: skip
    warnings: list[str] = []
    found = read(b"\r\n".join(rows), "a.csv", tmp_path, warnings=warnings)
    assert errors(found) == {
        "b": "TEXT_EMPTY", "c": "ARGUMENT_INVALID", "d": "TEXT_EMPTY", "8": "ARGUMENT_INVALID",
        "g": "TEXT_NOT_UTF8", "11": "ARGUMENT_INVALID", "i": "ARGUMENT_INVALID",
    }  # fmt: skip
    assert [each.text for each in found if each.text] == ["Gut", "Schön", 'so "ist" es', "Ende"]
    assert len(warnings) == 7
    assert all("row" in warning and "a.csv" in warning for warning in warnings)


def test_a_row_that_a_delimiter_in_its_text_has_cut_is_an_error_and_not_half_a_text(tmp_path: Path) -> None:
    rows = [
        "id;text;Alter",
        "a;Gut; sagte sie;5",
        "b;Gut;5;",
        "c;Gut;5;;",
        'd;"Gut; sagte sie";5',
        "e;Gut",
        "f;;;x",
    ]
    warnings: list[str] = []
    found = read("\n".join(rows), "a.csv", tmp_path, warnings=warnings)
    assert errors(found) == {"a": "ARGUMENT_INVALID", "f": "ARGUMENT_INVALID"}
    assert [each.text for each in found if each.text] == ["Gut", "Gut", "Gut; sagte sie", "Gut"]
    assert "row 2 has 4 cells, and the first row has 3" in warnings[0]


def test_without_names_of_columns_rows_may_have_any_length(tmp_path: Path) -> None:
    content = "Hallo;\nWelt;gut;Anmerkung\nTag;schlecht;x\n"
    found = read(content, "a.csv", tmp_path, header=False, column="1")
    assert [each.text for each in found] == ["Hallo", "Welt", "Tag"]


def test_blank_rows_before_the_names_of_columns_are_skipped_and_counted(tmp_path: Path) -> None:
    found = read("\n;\nid;text\n;Hallo\n", "a.csv", tmp_path)
    assert [(each.id, each.text) for each in found] == [("4", "Hallo")]


def test_a_quotation_mark_that_never_closes_spoils_one_row(tmp_path: Path) -> None:
    rows = [f"{number};Text {number}" for number in range(25_000)]
    rows[3] = '3;"offen'
    found = read("id;text\n" + "\n".join(rows), "a.csv", tmp_path)
    assert len(found) == 25_000
    assert errors(found) == {"5": "ARGUMENT_INVALID"}


class Endless(io.RawIOBase):
    """A file of so many rows that is made while it is read."""

    def __init__(self, rows: int) -> None:
        self._rows = iter(range(rows))
        self._left = b"id;text\n"

    def read1(self, size: int = -1) -> bytes:
        chunk, self._left = self._left, b""
        return chunk or b"".join(b"%d;Das ist eine Antwort.\n" % row for row in islice(self._rows, 1_000))


def test_memory_stays_flat_over_many_rows() -> None:
    def peak(rows: int) -> int:
        source = ByteSource(Endless(rows), "stdin")  # type: ignore[arg-type]
        tracemalloc.start()
        count = sum(1 for _ in read_delimited(source, "", lambda _: None))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == rows + 1
        return highest

    assert peak(60_000) < 1.2 * peak(20_000)


@pytest.mark.parametrize("options", [ReadingOptions(InputFormat.CSV), ReadingOptions(column="text")])
def test_rows_of_stdin_are_read_with_an_option_of_tables(options: ReadingOptions) -> None:
    found = list(read_corpus(["-"], options, stdin=io.BytesIO(written(",").encode())))
    assert texts(found) == TEXTS


def test_an_empty_table_has_no_texts(tmp_path: Path) -> None:
    assert read("", "a.csv", tmp_path) == []
    assert read("id;text\n", "a.csv", tmp_path) == []


def test_speakers_of_a_column_are_kept(tmp_path: Path) -> None:
    [segment] = read("Sprecher;text\nAnna;Gut\n", "a.csv", tmp_path)
    assert segment.speaker == "Anna"
