"""PDF documents."""

import io
from pathlib import Path
from typing import Final

import pypdf
import pytest

from model_cache.errors import UsageError
from tests.support.document_files import pdf, read, texts, turns

LONG: Final = "Das ist eine Zeile von etwa der Breite der Seite, wie sie in einem Text"


def encrypted(content: bytes, user_password: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(content))
    writer.encrypt(user_password, "owner", algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_lines_are_joined_to_paragraphs_and_hyphens_undone(tmp_path: Path) -> None:
    content = pdf(
        ["Überschrift", LONG, "steht und der weitergeht, weil er länger ist, mit der Zusammen-", "fassung am Ende.",
         LONG, "und Schluss."],
    )  # fmt: skip
    assert texts(read(content, "a.pdf", tmp_path)) == [
        "Überschrift",
        f"{LONG} steht und der weitergeht, weil er länger ist, mit der Zusammenfassung am Ende.",
        f"{LONG} und Schluss.",
    ]


def test_headers_footers_and_page_numbers_are_left_out_and_sentences_go_on(tmp_path: Path) -> None:
    pages = [["Interview 3", LONG, f"und {LONG[4:]}", f"Seite {number} von 4"] for number in range(1, 5)]
    pages[3][2] = "am Ende."
    found = read(pdf(*pages), "a.pdf", tmp_path)
    assert "Interview 3" not in " ".join(texts(found))
    assert "Seite" in " ".join(texts(found))
    assert "von 4" not in " ".join(texts(found))
    assert found[0].place is not None
    assert found[0].place.number == 1


def test_a_transcript_has_turns_with_their_page(tmp_path: Path) -> None:
    content = pdf(["I: Wie war das?", "B: Gut, weil ich dort", "lange war.", "I: Aha."], ["B: Ja.", "I: So."])
    found = read(content, "a.pdf", tmp_path)
    assert turns(found) == [
        ("I", "Wie war das?"), ("B", "Gut, weil ich dort lange war."), ("I", "Aha."), ("B", "Ja."), ("I", "So."),
    ]  # fmt: skip
    assert [each.place.number for each in found if each.place] == [1, 1, 1, 2, 2]


def test_a_time_mark_that_goes_on_in_the_next_line_is_one(tmp_path: Path) -> None:
    content = pdf(
        [
            "I: Wie war das? #00:00:05-1#",
            "B: Gut, weil ich dort lange war, sehr lange. #00:01:20-",
            "1#",
            "I: Aha.",
        ]
    )
    found = read(content, "a.pdf", tmp_path)
    assert turns(found)[1] == ("B", "Gut, weil ich dort lange war, sehr lange.")
    assert found[1].end == 80.1


def test_a_scanned_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no text on its 2 pages: it is probably scanned") as caught:
        read(pdf([], ["3"]), "a.pdf", tmp_path)
    assert "OCR" in caught.value.remedy


def test_pages_without_text_are_told(tmp_path: Path) -> None:
    warnings: list[str] = []
    read(pdf([LONG], [], [LONG]), "a.pdf", tmp_path, warnings=warnings)
    assert len(warnings) == 1
    assert "no text on page 2" in warnings[0]


def test_a_document_with_a_password_is_named_and_one_that_only_restricts_is_read(tmp_path: Path) -> None:
    content = pdf(["Guten Tag, das ist ein Text."])
    with pytest.raises(UsageError, match=r"a\.pdf has a password"):
        read(encrypted(content, "geheim"), "a.pdf", tmp_path)
    assert texts(read(encrypted(content, ""), "a.pdf", tmp_path)) == ["Guten Tag, das ist ein Text."]


@pytest.mark.parametrize(
    "content", [b"%PDF-1.4\n1 0 obj\nnichts", pdf([LONG])[:60], b"%PDF-1.7\n%\xe2\xe3" + bytes(500)]
)
def test_a_damaged_document_is_named(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.pdf (is damaged|has no text)"):
        read(content, "a.pdf", tmp_path)
