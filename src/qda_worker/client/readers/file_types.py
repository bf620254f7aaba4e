"""Recognize files that are no plain text by their content: those that have a reader, and what to do with the others.

A format is recognized by its first bytes. The containers ZIP and OLE2 hold several formats, which are distinguished by
the names of their parts; both store these names uncompressed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final

_TEXT_REMEDY: Final = (
    "save it as plain text, in UTF-8 (Word and LibreOffice: Save As, Plain Text), and give that file"
)
_SHEET_REMEDY: Final = "save it as CSV UTF-8 or as a workbook (xlsx)"
_ARCHIVE_REMEDY: Final = "unpack it and give the text file in it"
_RECORDING_REMEDY: Final = "transcribe it first, and give the transcript as a text file"
_MARKUP_REMEDY: Final = (
    "save its text as plain text, in UTF-8; to send it with its markup, give it as --input jsonl"
)
_SLIDES_REMEDY: Final = "save its text as plain text, in UTF-8"

# Bytes of a container that are searched for the names of its parts.
_CONTAINER_BYTES: Final = 64 * 2**20
_WINDOW_BYTES: Final = 64 * 1024


class Reader(StrEnum):
    """The readers of documents."""

    WORD = "docx"
    OPEN_DOCUMENT = "odt"
    RTF = "rtf"
    PDF = "pdf"
    WORKBOOK = "xlsx"
    HTML = "html"  # only transcripts of noScribe


@dataclass(frozen=True, slots=True)
class FileType:
    """A format that is no plain text.

    Attributes:
        name: as "an RTF document".
        remedy: how to get the texts out of it where it is not read.
        reader: which reader reads it; None: none does.
    """

    name: str
    remedy: str
    reader: Reader | None = None


_GZIP: Final = FileType(
    "compressed by gzip", "unpack it first (gunzip FILE), or pipe it: zcat FILE | qda-client …"
)
_IMAGE: Final = FileType("an image", "give a text file; a scanned page needs text recognition (OCR) first")
_RECORDING: Final = FileType("a recording", _RECORDING_REMEDY)
_XML: Final = FileType("an XML document", _MARKUP_REMEDY)
_HTML: Final = FileType("an HTML page", _MARKUP_REMEDY, Reader.HTML)
_ZIP: Final = FileType("a ZIP archive", _ARCHIVE_REMEDY)
_OLE2: Final = FileType("a document of an old Office program", _TEXT_REMEDY)

_OLE2_SIGNATURE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

# What a file of each type begins with, after blanks and a byte order mark.
_SIGNATURES: Final[tuple[tuple[re.Pattern[bytes], FileType], ...]] = (
    (re.compile(rb"\{\\rtf"), FileType("an RTF document", _TEXT_REMEDY, Reader.RTF)),
    (
        # Readers accept bytes before it. A text that only mentions it has no line end, or no object, after the version.
        re.compile(
            rb"%PDF-\d|.{0,1024}?%PDF-\d\.\d\s*[\r\n]\s*(?:%[^\r\n]*[\x80-\xff]|\d+ \d+ obj)", re.DOTALL
        ),
        FileType(
            "a PDF document", "extract its text (pdftotext FILE, or copy it into a text file)", Reader.PDF
        ),
    ),
    (re.compile(rb"\x1f\x8b"), _GZIP),
    (re.compile(rb"BZh[1-9]1AY&SY"), FileType("compressed by bzip2", _ARCHIVE_REMEDY)),
    (re.compile(rb"\xfd7zXZ\0"), FileType("compressed by xz", _ARCHIVE_REMEDY)),
    (re.compile(rb"\x28\xb5\x2f\xfd"), FileType("compressed by zstd", _ARCHIVE_REMEDY)),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), FileType("a 7-Zip archive", _ARCHIVE_REMEDY)),
    (re.compile(rb"Rar!\x1a\x07"), FileType("a RAR archive", _ARCHIVE_REMEDY)),
    (re.compile(rb".{257}ustar", re.DOTALL), FileType("a TAR archive", _ARCHIVE_REMEDY)),
    (re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|II\*\0|MM\0\*"), _IMAGE),
    (re.compile(rb"ID3[\x02-\x04]|OggS\0|fLaC\0|RIFF....WAVE|\x1aE\xdf\xa3|....ftyp", re.DOTALL), _RECORDING),
    (re.compile(rb"SQLite format 3\0"), FileType("an SQLite database", _SHEET_REMEDY)),
    (re.compile(rb"PAR1"), FileType("a Parquet file", _SHEET_REMEDY)),
    (re.compile(rb"(?is)(?:<!--.{0,4096}?-->\s*)*<(?:!doctype html|(?:html|head|body)[\s>])"), _HTML),
    (re.compile(rb"<\?xml\s"), _XML),
)

# Names of parts that distinguish the formats in a ZIP archive.
_ZIP_PARTS: Final = {
    b"word/document": FileType("a Word document (docx)", _TEXT_REMEDY, Reader.WORD),
    b"xl/workbook": FileType("an Excel workbook (xlsx)", _SHEET_REMEDY, Reader.WORKBOOK),
    b"ppt/presentation": FileType("a PowerPoint presentation (pptx)", _SLIDES_REMEDY),
    b"mimetypeapplication/vnd.oasis.opendocument.text": FileType(
        "an OpenDocument text (odt)", _TEXT_REMEDY, Reader.OPEN_DOCUMENT
    ),
    b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet": FileType(
        "an OpenDocument spreadsheet (ods)", _SHEET_REMEDY
    ),
    b"mimetypeapplication/vnd.oasis.opendocument": FileType("an OpenDocument file", _SLIDES_REMEDY),
    b"mimetypeapplication/epub": FileType("an e-book (EPUB)", _SLIDES_REMEDY),
    b"Index/Document.iwa": FileType("a Pages, Numbers or Keynote document", _TEXT_REMEDY),
    b"project.qde": FileType("a REFI-QDA project", _TEXT_REMEDY),
}
_OLE2_PARTS: Final = {
    "WordDocument".encode("utf-16-le"): FileType("a Word document (doc)", _TEXT_REMEDY),
    "Workbook".encode("utf-16-le"): FileType("an Excel workbook (xls)", _SHEET_REMEDY),
    "PowerPoint Document".encode("utf-16-le"): FileType("a PowerPoint presentation (ppt)", _SLIDES_REMEDY),
    "EncryptedPackage".encode("utf-16-le"): FileType(
        "a document with a password", f"remove its password, then {_TEXT_REMEDY}"
    ),
    "__substg1.0_".encode("utf-16-le"): FileType("an Outlook message (msg)", _TEXT_REMEDY),
}


def is_container(head: bytes) -> bool:
    """Return whether a file is a container, whose parts say what it is."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06", _OLE2_SIGNATURE))


def recognize(head: bytes, rest: Iterable[bytes]) -> FileType | None:
    """Return the format of a file; None if it may be plain text.

    Args:
        head: its first bytes, without a byte order mark.
        rest: what follows; read only if `head` is that of a container, up to 64 MiB.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _find_part(chain([head], rest), _ZIP_PARTS) or _ZIP
    if head.startswith(_OLE2_SIGNATURE):
        return _find_part(chain([head], rest), _OLE2_PARTS) or _OLE2
    start = head.lstrip()
    return next((kind for signature, kind in _SIGNATURES if signature.match(start)), None)


def _find_part(chunks: Iterable[bytes], parts: dict[bytes, FileType]) -> FileType | None:
    overlap = max(map(len, parts))
    seen, window = 0, b""
    for chunk in chain(chunks, [b""]):
        window += chunk
        seen += len(chunk)
        if chunk and len(window) < _WINDOW_BYTES:  # a pipe may send a name in two pieces
            continue
        for name, kind in parts.items():
            if name in window:
                return kind
        window = window[-overlap:]
        if seen > _CONTAINER_BYTES:
            break
    return None
