"""RTF as Word, LibreOffice, TextEdit, f4 and MAXQDA write it."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from tests.support.document_files import read, texts, turns

# As f4transkript writes it: a font table with character sets, German letters as bytes, a time mark behind each turn.
F4: Final = (
    rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil\fcharset0 Arial;}{\f1\fnil\fcharset2 Symbol;}}"
    rb"{\colortbl ;\red0\green0\blue255;}{\*\generator Riched20 10.0}\viewkind4\uc1\pard\lang1031\f0\fs24 "
    rb"I: Wie war das f\'fcr Sie? #00:01:02-3#\par" + b"\r\n"
    rb"B1: \ldblquote Sch\'f6n\rdblquote\~war es. \cf1 #00:01:20-1#\cf0\par" + b"\r\n"
    rb"\par I: Und heute? #00:01:22-0#\par}"
)


def test_a_transcript_of_f4_has_turns_with_times(tmp_path: Path) -> None:
    found = read(F4, "a.rtf", tmp_path)
    assert turns(found) == [
        ("I", "Wie war das für Sie?"), ("B1", "“Schön”\u00a0war es."), ("I", "Und heute?"),
    ]  # fmt: skip
    assert [(each.start, each.end) for each in found] == [(None, 62.3), (62.3, 80.1), (80.1, 82.0)]


def test_units_with_their_fallback_are_one_character(tmp_path: Path) -> None:
    content = rb"{\rtf1\ansi\uc1 Gr\u252\'fc\u223 ?e \u-10179?\u-8704? {\uc2\u8211ab}{\uc0\u8364}5\par}"
    assert texts(read(content, "a.rtf", tmp_path)) == ["Grüße 😀 –€5"]


def test_hidden_and_deleted_text_and_pictures_are_left_out(tmp_path: Path) -> None:
    content = (
        rb"{\rtf1\ansi{\stylesheet{\s0 Normal;}}{\info{\title Geheim}}gut{\v versteckt} {\deleted weg}und\v nie\v0  da"
        rb"{\*\unknown x}{\pict\wmetafile8\bin4 }{}{{\header oben}{\footnote Note}\par"
        rb"{\field{\*\fldinst HYPERLINK x}{\fldrslt ein Link}}\par}"
    )
    content = content.replace(rb"\bin4 }{}{", b"\\bin4 }{}{}")
    assert texts(read(content, "a.rtf", tmp_path)) == ["gut und da", "ein Link", "Note"]


def test_rows_of_a_table_are_turns_and_bold_names_labels(tmp_path: Path) -> None:
    rows = rb"\trowd I\cell Wie?\cell\row\trowd B\cell Gut.\cell\row\trowd I\cell So.\cell\row"
    assert turns(read(rb"{\rtf1\ansi " + rows + rb"}", "a.rtf", tmp_path)) == [
        ("I", "Wie?"), ("B", "Gut."), ("I", "So."),
    ]  # fmt: skip
    bold = rb"{\b Anna} Wie?\par{\b Ben} Gut.\par\b Anna\b0  So.\par\b Ben\plain  Ja.\par"
    assert turns(read(rb"{\rtf1\ansi " + bold + rb"}", "b.rtf", tmp_path)) == [
        ("Anna", "Wie?"), ("Ben", "Gut."), ("Anna", "So."), ("Ben", "Ja."),
    ]  # fmt: skip


def test_a_bold_name_with_a_blank_behind_it_is_the_label_of_its_row(tmp_path: Path) -> None:
    anna, ben = rb"\trowd{\b Anna  : }\cell ", rb"\trowd{\b  Ben  : }\cell "
    rows = rb"%bWie?\cell\row%bGut.\cell\row%bUnd?\cell\row%bJa.\cell\row" % (anna, ben, anna, ben)
    assert turns(read(rb"{\rtf1\ansi " + rows + rb"}", "a.rtf", tmp_path)) == [
        ("Anna", "Wie?"), ("Ben", "Gut."), ("Anna", "Und?"), ("Ben", "Ja."),
    ]  # fmt: skip


def test_cells_with_paragraphs_and_notes_that_are_marked_as_unknown_are_read(tmp_path: Path) -> None:
    """Pandoc ends the text of each cell as a paragraph; it and LibreOffice write footnotes with a star."""
    row = rb"{\trowd \trgaph120 \cellx2880\cellx5760 " + b"".join(
        rb"{\pard\intbl {\pard \ql \f0 " + text + rb"\par}" + b"\n" + rb"\cell}"
        for text in (b"00:03", b"I", b"Danke!")
    )
    note = rb"{\super\chftn}{\*\footnote\chftn\~\plain\pard {\pard \ql Anmerkung.\par}" + b"\n}"
    content = (
        rb"{\rtf1\ansi{\pard I: Wie?\par}{\pard B: Gut"
        + note
        + rb".\par}"
        + row
        + rb"\intbl\row}{\pard B: Ja.\par}}"
    )
    found = read(content, "a.rtf", tmp_path)
    assert turns(found[:4]) == [("I", "Wie?"), ("B", "Gut."), ("I", "Danke!"), ("B", "Ja.")]
    assert found[2].start == 3.0
    assert texts(found[4:]) == ["Anmerkung."]
    several = rb"{\rtf1 davor\par\trowd eins\par zwei\cell drei\cell\trowd\row danach\par}"
    assert texts(read(several, "b.rtf", tmp_path)) == ["davor", "eins", "zwei", "drei", "danach"]


def test_the_code_page_of_the_font_is_used(tmp_path: Path) -> None:
    fonts = rb"{\fonttbl{\f0\fcharset77 Helvetica;}{\f1\fcharset238 Arial CE;}}"
    content = rb"{\rtf1\mac" + fonts + rb"\f0 Gr\'9f\'a7e\f1  \'9a\par}"
    assert texts(read(content, "a.rtf", tmp_path)) == ["Grüße š"]


@pytest.mark.parametrize("content", [rb"{\rtf1 gut}} schlecht", rb"{\rtf1 gut"], ids=["closed", "cut"])
def test_what_can_be_read_of_a_damaged_document_is_read(content: bytes, tmp_path: Path) -> None:
    assert texts(read(content, "a.rtf", tmp_path)) == ["gut"]


@pytest.mark.parametrize(
    ("content", "is_told"),
    [(rb"{\rtf1 gut\par}", False), (rb"{\rtf1 gut\par}" + b"\r\n\0", False), (rb"{\rtf1 gut}} schlecht", False),
     (rb"{\rtf1 gut", True), (rb"{\rtf1 gut\par{\b so", True), (rb"{\rtf1 gut\par" + b"\\", True),
     (rb"{\rtf1 gut\par{\pict\bin500 abc}}", True)],
)  # fmt: skip
def test_a_document_that_was_cut_off_is_told(content: bytes, is_told: bool, tmp_path: Path) -> None:
    warnings: list[str] = []
    assert texts(read(content, "a.rtf", tmp_path, warnings=warnings))[0] == "gut"
    assert [("a.rtf" in each, "cut off" in each) for each in warnings] == [(True, True)] * is_told


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="damaged"):
        read(rb"{\rtf1 " + b"{" * 20_000, "a.rtf", tmp_path)
