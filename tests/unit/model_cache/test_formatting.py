"""Text for people: nothing that a terminal would interpret."""

import unicodedata
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.formatting import align_columns, count_of, printable, printable_lines
from model_cache.json_values import parse_json, to_json_line, to_json_text

HOSTILE: Final = "\x1b]0;title\x07\x9b31m\u202eevil\u2028\r\n\ud800\x7f"


@given(st.text())
def test_a_printable_text_has_one_line_and_no_control_character(text: str) -> None:
    shown = printable(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")]
    shown.encode()


@pytest.mark.parametrize("text", ["Größe: 3 €", "日本語", "a/b_c-d.json", "„Ja“ – 'nein'", "👩‍👩‍👧"])
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_line_breaks_stay_where_lines_are_meant() -> None:
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"
    assert printable("a\nb") == "a\\nb"


def test_cells_of_a_table_cannot_leave_their_line() -> None:
    assert align_columns([["a\nOK", "b"], ["c", "d"]]).splitlines() == ["a\\nOK  b", "c      d"]


@pytest.mark.parametrize("dump", [to_json_line, to_json_text])
def test_json_documents_have_no_raw_control_character_and_the_same_value(dump: object) -> None:
    assert callable(dump)
    text = dump({"name": HOSTILE.replace("\ud800", "")})
    assert printable_lines(text) == text
    assert parse_json(text.encode()) == {"name": HOSTILE.replace("\ud800", "")}


def test_a_count_has_its_noun_in_the_right_number() -> None:
    counts = [
        count_of(0, "file"),
        count_of(1, "file"),
        count_of(2, "model or archive", "models and archives"),
    ]
    assert counts == ["0 files", "1 file", "2 models and archives"]
