"""Packages that are made to exhaust the memory, and damaged ones."""

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.office_package import OfficePackage
from tests.support.document_files import docx, paragraph, read, zipped

NAMESPACE: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = zipped(("word/document.xml", f"<w:document {NAMESPACE}>" + " " * 300_000_000))
    assert len(bomb) < 400_000
    tracemalloc.start()
    with pytest.raises(UsageError, match="made to exhaust the memory"):
        read(bomb, "a.docx", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_bytes_are_counted_while_they_are_unpacked_too() -> None:
    """The directory may lie about the size; what it says is the most that is read."""
    content = bytearray(zipped(("word/document.xml", "<a>" + "x" * 100_000 + "</a>")))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.index(signature) + offset
        content[at : at + 4] = (1_000).to_bytes(4, "little")
    with pytest.raises(UsageError, match="damaged"):
        OfficePackage(io.BytesIO(bytes(content)), "a.docx").parse("word/document.xml")


def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
        f"<w:document {NAMESPACE}><w:body><w:p><w:r><w:t>&b;&f;</w:t></w:r></w:p></w:body></w:document>"
    )
    with pytest.raises(UsageError, match="document type"):
        read(zipped(("word/document.xml", bomb)), "a.docx", tmp_path)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nested"):
        read(docx("<w:ins>" * 5_000 + "</w:ins>" * 5_000), "a.docx", tmp_path)


def test_a_part_with_a_password_is_damage_with_a_remedy() -> None:
    content = bytearray(docx(paragraph("gut")))
    position = -1
    while (position := content.find(b"PK\x01\x02", position + 1)) >= 0:
        content[position + 8] |= 1
    position = -1
    while (position := content.find(b"PK\x03\x04", position + 1)) >= 0:
        content[position + 6] |= 1
    package = OfficePackage(io.BytesIO(bytes(content)), "a.docx")
    with pytest.raises(UsageError, match="encrypted"):
        package.parse("word/document.xml")


@pytest.mark.parametrize("encoding", ["foo", "utf-7", "utf-32", "punycode"])
def test_an_encoding_that_cannot_be_read_is_damage(encoding: str, tmp_path: Path) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?><w:document {NAMESPACE}><w:body/></w:document>'
    with pytest.raises(UsageError, match=r"a\.docx is damaged"):
        read(zipped(("word/document.xml", document)), "a.docx", tmp_path)


def test_a_damaged_part_in_the_format_of_lzma_is_damage() -> None:
    content = bytearray(zipped(("word/document.xml", "<a>gut</a>" * 200), compression=zipfile.ZIP_LZMA))
    at = content.index(b"word/document.xml") + len("word/document.xml") + 4  # the properties of the filter
    content[at : at + 5] = b"\xff" * 5
    with pytest.raises(UsageError, match="damaged"):
        OfficePackage(io.BytesIO(bytes(content)), "a.docx").parse("word/document.xml")


def test_a_long_document_is_read() -> None:
    """Text is packed well, and no bomb."""
    body = "".join(paragraph(f"Absatz {number} mit Text") for number in range(60_000))
    stream = io.BytesIO(docx(body))
    assert zipfile.ZipFile(stream).getinfo("word/document.xml").file_size > 4 * 2**20
    assert OfficePackage(stream, "a.docx").parse("word/document.xml") is not None
