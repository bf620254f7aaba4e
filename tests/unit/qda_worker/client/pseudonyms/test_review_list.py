"""The list as spreadsheets show and save it."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.errors import UsageError
from qda_worker.client.pseudonyms.candidates import Candidate
from qda_worker.client.pseudonyms.kinds import Kind
from qda_worker.client.pseudonyms.review_list import protect, read_review, review_lines, unprotect

FORMS: Final = [
    "Jörg Müller",
    "=1+1 GmbH",
    "+49 221 1",
    "0221 123456",
    "1/2 x",
    "O'Neill",
    "'=x",
    'Haus "Ruhe"; Köln',
]


def candidate(form: str, *, replace: bool = True) -> Candidate:
    return Candidate(form, Kind.PERSON, "[Person 1]", replace, 3, 2, "model", f"- «{form}»;\n=A1")


def lines() -> str:
    return review_lines([*map(candidate, FORMS), candidate("nicht", replace=False)])


def saved(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "review.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def as_excel(delimiter: str, encoding: str) -> bytes:
    """Return the list as a spreadsheet saves it: quotation marks only where they are needed."""
    stream = io.StringIO()
    rows = csv.reader(io.StringIO(lines().removeprefix("\ufeff")), delimiter=";")
    csv.writer(stream, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return stream.getvalue().encode(encoding, errors="replace")


@pytest.mark.parametrize(
    "save",
    [
        lambda: lines().encode(),
        lambda: as_excel(";", "cp1252"),
        lambda: as_excel(",", "utf-8-sig"),
        lambda: as_excel("\t", "utf-16"),
        lambda: as_excel(";", "utf-8").replace(b"\r\n", b"\n"),
        lambda: b"sep=;\r\n" + as_excel(";", "cp1252"),
    ],
)
def test_the_list_comes_back_however_it_was_saved(tmp_path: Path, save: Callable[[], bytes]) -> None:
    assert [each.form for each in read_review(saved(tmp_path, save()))] == FORMS


def test_no_cell_is_computed_or_becomes_a_number() -> None:
    rows = csv.reader(io.StringIO(lines().removeprefix("\ufeff")), delimiter=";")
    cells = [row[3] for row in rows][1:]
    assert all(not cell.lstrip().startswith(("=", "+", "-", "@")) for cell in cells)
    assert "'0221 123456" in cells
    assert "'1/2 x" in cells


@given(st.text())
def test_protection_is_undone(text: str) -> None:
    assert unprotect(protect(text)) == text


def test_decisions_of_people_count(tmp_path: Path) -> None:
    text = "Form;Placeholder;REPLACE\r\nAnna;Ehefrau;ja\r\nKöln;[Ort 1];nein\r\n;;\r\n Max  Meier ;[Person 9]; X \r\n"
    reviewed = read_review(saved(tmp_path, text))
    assert [(each.form, each.placeholder, each.row) for each in reviewed] == [
        ("Anna", "Ehefrau", 2),
        ("Max Meier", "[Person 9]", 5),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("replace;placeholder\r\n", 'no column "form"'),
        ("", "no column"),
        ("replace;placeholder;form\r\nno;[P];Anna\r\n", "no row with replace = yes"),
        (
            "replace;placeholder;form\r\nyes;[P];Anna\r\nvielleicht;[P];Max\r\n",
            'row 3: replace is "vielleicht"',
        ),
        ("replace;placeholder;form\r\nyes;;Anna\r\n", "row 2: there is no placeholder"),
        ("replace;placeholder;form\r\nyes;[P];...\r\n", r'row 2: the form is "\.\.\."'),
        ('replace;placeholder;form\r\nyes;"a;b";Anna\r\n', "row 2: the placeholder has ';'"),
        ("replace;placeholder;form\r\nyes;" + "x" * 101 + ";Anna\r\n", "more than 100 characters"),
        (
            "replace;placeholder;form\r\nyes;[A];Anna\r\nyes;[B];Anna\r\n",
            "row 3: .*another placeholder in row 2",
        ),
        ('replace;placeholder;form\r\nyes;[A];"Anna\r\n', "row 2"),
        (b"PK\x03\x04", "no CSV"),
        (b"replace;form;\x81\x8d", "neither UTF-8 nor"),
    ],
)
def test_a_wrong_list_names_the_row(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_review(saved(tmp_path, text))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_review(tmp_path / "absent.csv")
