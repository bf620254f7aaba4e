"""Word documents as Word, LibreOffice and python-docx write them."""

import io
from pathlib import Path

import pytest
from docx import Document

from model_cache.errors import UsageError
from qda_worker.client.readers.options import Segmentation
from tests.support.document_files import docx, paragraph, read, texts, turns, zipped


def test_a_document_of_another_program_is_read_by_paragraphs(tmp_path: Path) -> None:
    document = Document()
    document.add_heading("Interview", 1)
    document.add_paragraph("Früh am Morgen. 😀")
    document.add_paragraph("")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "links", "rechts"
    document.add_paragraph("Ende")
    document.save(str(tmp_path / "a.docx"))
    found = read((tmp_path / "a.docx").read_bytes(), "b.docx", tmp_path)
    assert texts(found) == ["Interview", "Früh am Morgen. 😀", "links\trechts", "Ende"]
    assert [each.id for each in found] == ["1", "2", "3", "4"]


def test_positions_refer_to_the_text_of_the_document(tmp_path: Path) -> None:
    content = docx(paragraph("*I: ", "Wie? ") + paragraph("B: ", "Gut. Ja.") + paragraph("I: ", "So."))
    [whole] = read(content, "a.docx", tmp_path, segment=Segmentation.FILE)
    for segment in (Segmentation.TURN, Segmentation.SENTENCE, Segmentation.LINE, Segmentation.PARAGRAPH):
        for each in read(content, "a.docx", tmp_path, segment=segment):
            assert each.place is not None
            assert whole.text[each.place.start : each.place.end] == each.text


def test_the_accepted_text_of_tracked_changes_is_read(tmp_path: Path) -> None:
    body = (
        "<w:p><w:r><w:t>Das war </w:t></w:r><w:del><w:r><w:delText>schlecht</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>gut</w:t></w:r></w:ins><w:moveFrom><w:r><w:t>weg</w:t></w:r></w:moveFrom></w:p>"
        "<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr><w:r><w:t>Ein Satz, </w:t></w:r></w:p>"
        "<w:p><w:r><w:t>der weitergeht.</w:t></w:r></w:p>"
    )
    assert texts(read(docx(body), "a.docx", tmp_path)) == ["Das war gut", "Ein Satz, der weitergeht."]


def test_characters_that_word_writes_as_elements_are_read(tmp_path: Path) -> None:
    body = (
        "<w:p><w:r><w:t>Donau</w:t><w:softHyphen/><w:t>dampf\u00adschiff</w:t><w:noBreakHyphen/><w:t>Fahrt</w:t>"
        "<w:tab/><w:t>eins</w:t><w:br/><w:t>zwei</w:t></w:r>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>unsichtbar</w:t></w:r></w:p>"
    )
    assert texts(read(docx(body), "a.docx", tmp_path)) == ["Donaudampfschiff-Fahrt\teins\nzwei"]
    lines = read(docx(body), "a.docx", tmp_path, segment=Segmentation.LINE)
    assert texts(lines) == ["Donaudampfschiff-Fahrt\teins", "zwei"]


def test_a_text_box_is_read_once_behind_its_paragraph(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{paragraph('im Kasten')}</w:txbxContent>"
    body = (
        "<w:p><w:r><w:t>vor</w:t></w:r><w:r><mc:AlternateContent><mc:Choice><w:drawing><wps:txbx>"
        f"{box}</wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict>"
        "</mc:Fallback></mc:AlternateContent></w:r><w:r><w:t> und nach</w:t></w:r></w:p>"
    )
    assert texts(read(docx(body), "a.docx", tmp_path)) == ["vor und nach", "im Kasten"]


def test_footnotes_come_last_and_belong_to_no_turn(tmp_path: Path) -> None:
    noted = '<w:p><w:r><w:t>B: Gut.</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    notes = "".join(
        f'<w:footnote w:id="{number}">{paragraph(text)}</w:footnote>'
        for number, text in [(-1, "Strich"), (2, "Note")]
    )
    content = docx(paragraph("I: Wie?") + noted + paragraph("I: Aha."), footnotes=notes)
    assert turns(read(content, "a.docx", tmp_path)) == [
        ("I", "Wie?"), ("B", "Gut."), ("I", "Aha."), (None, "Note"),
    ]  # fmt: skip


def test_fields_links_and_content_controls_are_read(tmp_path: Path) -> None:
    body = (
        "<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent><w:p><w:r><w:t>im Feld</w:t></w:r></w:p></w:sdtContent>"
        "</w:sdt>"
        '<w:p><w:hyperlink><w:r><w:t>ein Link</w:t></w:r></w:hyperlink><w:r><w:fldChar w:fldCharType="begin"/></w:r>'
        "<w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t> 7</w:t></w:r></w:p>"
    )
    assert texts(read(docx(body), "a.docx", tmp_path)) == ["im Feld", "ein Link 7"]


def row(*cells: str) -> str:
    return "<w:tr>" + "".join(f"<w:tc><w:tcPr/>{cell}</w:tc>" for cell in cells) + "</w:tr>"


def test_a_transcript_in_a_table_has_turns(tmp_path: Path) -> None:
    rows = [
        row(paragraph("00:01"), paragraph("I"), paragraph("Wie war es?")),
        row(paragraph("00:05"), paragraph("B1"), paragraph("Gut.") + paragraph("Sehr gut.")),
        row(paragraph("00:09"), paragraph("I"), paragraph("Schön.")),
    ]
    found = read(docx(f"<w:tbl><w:tblPr/>{''.join(rows)}</w:tbl>"), "a.docx", tmp_path)
    assert turns(found) == [("I", "Wie war es?"), ("B1", "Gut.\nSehr gut."), ("I", "Schön.")]


def test_bold_names_without_a_colon_are_labels(tmp_path: Path) -> None:
    body = (
        paragraph("*Interview mit Anna")
        + paragraph("*Anna Müller", " Wie war es?")
        + paragraph("*Herr Schmidt ", "Gut. ", "*Sehr", " gut.")
        + paragraph("*Anna Müller", " Aha.")
        + paragraph("*Herr Schmidt", " Ja.")
    )
    assert turns(read(docx(body), "a.docx", tmp_path)) == [
        (None, "Interview mit Anna"), ("Anna Müller", "Wie war es?"), ("Herr Schmidt", "Gut. Sehr gut."),
        ("Anna Müller", "Aha."), ("Herr Schmidt", "Ja."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        docx(paragraph("gut"))[:-40],
        zipped(("word/document.xml", "<w:document")),
        zipped(("word/document.xml", "<document/>")),
        zipped(("word/document2.xml", "<document/>")),
    ],
    ids=["cut", "no xml", "no body", "no part"],
)
def test_a_damaged_document_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.docx is damaged"):
        read(content, "a.docx", tmp_path)


def test_a_document_from_stdin_is_read() -> None:
    from qda_worker.client.readers.corpus import read_corpus

    [segment] = read_corpus(["-"], stdin=io.BytesIO(docx(paragraph("gut"))))
    assert (segment.text, segment.source) == ("gut", "stdin")
