"""Read the text of a Word document (docx), as Word and LibreOffice write it.

Read is what a reader of the accepted document sees: text that was inserted with tracked changes, not what was
deleted; no hidden text, no field codes, no comments, no headers and footers. A table row is one paragraph with tabs
between its cells, so that transcripts in tables are read like those in lines. A text box follows the paragraph it is
anchored in; footnotes and endnotes come last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Final
from xml.etree.ElementTree import Element

from model_cache.errors import UsageError
from qda_worker.client.readers.document import Document, DocumentBuilder, bold_length, join_cells
from qda_worker.client.readers.office_package import OfficePackage

_REMOVED: Final = frozenset(
    {"del", "moveFrom", "delText", "instrText", "Fallback", "pPr", "rPr", "sdtPr", "tblPr"}
)
_CHARACTERS: Final = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_NOTE_PARTS: Final = {"footnoteReference": "footnotes", "endnoteReference": "endnotes"}
_SOFT_HYPHEN: Final = "\u00ad"


@dataclass(slots=True)
class _Paragraph:
    """A paragraph that is being read.

    Attributes:
        parts: its texts, each with whether it is bold.
        boxes: the text boxes that are anchored in it.
    """

    parts: list[tuple[str, bool]] = field(default_factory=list)
    boxes: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self._text_to(None)

    @property
    def bold(self) -> int:
        """Length of the bold text at the beginning."""
        return len(self._text_to(bold_length(self.parts)))

    def _text_to(self, end: int | None) -> str:
        return "".join(text for text, _ in self.parts)[:end].replace(_SOFT_HYPHEN, "")


def read_word(stream: IO[bytes], source: str) -> Document:
    """Return the text of a document.

    Raises:
        UsageError: when it is damaged.
    """
    with OfficePackage(stream, source) as package:
        root = package.parse("word/document.xml")
        body = root.find("body") if root is not None else None
        if body is None:
            raise UsageError(
                f"{source} is damaged: it has no body", "open it with Word or LibreOffice and save it again"
            )
        reader = _Reader()
        builder = DocumentBuilder()
        for text, bold in reader.paragraphs(body):
            builder.add(text, bold=bold)
        for text in _note_texts(package, reader.notes):
            builder.add(text, is_note=True)
        return builder.build()


def _note_texts(package: OfficePackage, references: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the paragraphs of the notes in the order of their references."""
    notes: dict[tuple[str, str], Element] = {}
    for part in {part for part, _ in references}:
        root = package.parse(f"word/{part}.xml")
        for element in root if root is not None else ():
            notes[part, element.get("id", "")] = element
    for reference in references:
        if reference in notes:
            yield from (text for text, _ in _Reader().paragraphs(notes[reference]))


class _Reader:
    """Walks through the body.

    Attributes:
        notes: the footnotes and endnotes that are referred to: the name of their part and their id.
    """

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def paragraphs(self, element: Element) -> Iterator[tuple[str, int]]:
        """Yield each paragraph and table row with the length of the bold text at its beginning."""
        paragraph = _Paragraph()
        for child in element:
            if child.tag == "p":
                self._read_inline(child, paragraph, bold=False)
                if not _has_deleted_mark(child):
                    yield from self._finish(paragraph)
                    paragraph = _Paragraph()
            elif child.tag == "tbl":
                for row in _rows(child):
                    yield from self._row(row)
            elif child.tag not in _REMOVED:
                yield from self.paragraphs(child)  # content controls, insertions, alternatives
        yield from self._finish(paragraph)

    def _finish(self, paragraph: _Paragraph) -> Iterator[tuple[str, int]]:
        if paragraph.text.strip():
            yield paragraph.text, paragraph.bold
        for box in paragraph.boxes:
            yield from self.paragraphs(box)

    def _row(self, row: Element) -> Iterator[tuple[str, int]]:
        return join_cells([list(self.paragraphs(cell)) for cell in _cells(row)])

    def _read_inline(self, element: Element, paragraph: _Paragraph, *, bold: bool) -> None:
        for child in element:
            tag = child.tag
            if tag in _REMOVED:
                continue
            if tag == "r":
                properties = child.find("rPr")
                if properties is None or not _is_on(properties, "vanish"):
                    self._read_inline(
                        child, paragraph, bold=properties is not None and _is_on(properties, "b")
                    )
            elif tag == "t":
                paragraph.parts.append((child.text or "", bold))
            elif tag in _CHARACTERS:
                paragraph.parts.append((_CHARACTERS[tag], bold))
            elif tag in _NOTE_PARTS:
                self.notes.append((_NOTE_PARTS[tag], child.get("id", "")))
            elif tag == "txbxContent":
                paragraph.boxes.append(child)
            else:
                self._read_inline(child, paragraph, bold=bold)


def _has_deleted_mark(paragraph: Element) -> bool:
    return any(paragraph.find(f"pPr/rPr/{change}") is not None for change in ("del", "moveFrom"))


def _is_on(properties: Element, name: str) -> bool:
    switch = properties.find(name)
    return switch is not None and switch.get("val", "true") not in {"0", "false", "off", "none"}


def _rows(table: Element) -> Iterator[Element]:
    for child in table:
        if child.tag == "tr":
            properties = child.find("trPr")
            if properties is None or properties.find("del") is None:
                yield child
        elif child.tag not in _REMOVED:
            yield from _rows(child)


def _cells(row: Element) -> Iterator[Element]:
    for child in row:
        if child.tag == "tc":
            yield child
        elif child.tag not in _REMOVED and child.tag != "trPr":
            yield from _cells(child)
