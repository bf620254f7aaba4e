"""OpenDocument texts as LibreOffice and odfpy write them."""

from pathlib import Path

import pytest
from odf.opendocument import OpenDocumentText
from odf.text import H, P

from model_cache.errors import UsageError
from tests.support.document_files import odt, read, texts, turns


def test_a_document_of_another_program_is_read_by_paragraphs(tmp_path: Path) -> None:
    document = OpenDocumentText()
    document.text.addElement(H(outlinelevel=1, text="Interview"))
    document.text.addElement(P(text="Früh am Morgen. 😀"))
    document.save(str(tmp_path / "a.odt"))
    found = read((tmp_path / "a.odt").read_bytes(), "b.odt", tmp_path)
    assert texts(found) == ["Interview", "Früh am Morgen. 😀"]


def test_blanks_tabs_and_line_breaks_are_those_of_the_document(tmp_path: Path) -> None:
    body = (
        "<text:p>ein\n   Satz<text:s text:c='2'/>mit<text:tab/>Tab<text:line-break/>und "
        "<text:span>Donau\u00addampf</text:span></text:p>"
    )
    assert texts(read(odt(body), "a.odt", tmp_path)) == ["ein Satz  mit\tTab\nund Donaudampf"]


def test_what_readers_do_not_see_is_left_out(tmp_path: Path) -> None:
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>gelöscht</text:p></text:deletion>"
        "</text:changed-region></text:tracked-changes>"
        "<text:p>gut<office:annotation><text:p>Kommentar</text:p></office:annotation></text:p>"
    )
    assert texts(read(odt(body), "a.odt", tmp_path)) == ["gut"]


def test_lists_tables_frames_and_footnotes_are_read_in_order(tmp_path: Path) -> None:
    body = (
        "<text:list><text:list-item><text:p>Punkt</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>links</text:p></table:table-cell>"
        "<table:table-cell><text:p>rechts</text:p></table:table-cell></table:table-row></table:table>"
        "<text:p>vor<draw:frame><draw:text-box><text:p>Kasten</text:p></draw:text-box></draw:frame></text:p>"
        "<text:p>mit Note<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Note</text:p>"
        "</text:note-body></text:note></text:p><text:section><text:p>Ende</text:p></text:section>"
    )
    assert texts(read(odt(body), "a.odt", tmp_path)) == [
        "Punkt", "links\trechts", "vor", "Kasten", "mit Note", "Ende", "Note",
    ]  # fmt: skip


def test_bold_labels_begin_turns(tmp_path: Path) -> None:
    style = "<style:style style:name='T1'><style:text-properties fo:font-weight='bold'/></style:style>"
    body = "".join(
        f"<text:p><text:span text:style-name='T1'>{name}</text:span> {said}</text:p>"
        for name, said in [("Anna", "Wie?"), ("Ben", "Gut."), ("Anna", "So."), ("Ben", "Ja.")]
    )
    found = read(odt(body, style), "a.odt", tmp_path)
    assert turns(found) == [("Anna", "Wie?"), ("Ben", "Gut."), ("Anna", "So."), ("Ben", "Ja.")]


def test_a_document_with_a_password_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.odt is a document with a password"):
        read(odt("", manifest="<file-entry><encryption-data/></file-entry>"), "a.odt", tmp_path)
