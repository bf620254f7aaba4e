"""Read the text of an OpenDocument text (odt), as LibreOffice writes it.

As for Word documents: deleted text, comments and hidden text are left out, a table row is one paragraph, a text frame
follows the paragraph it is anchored in, and footnotes come last.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final
from xml.etree.ElementTree import Element

from model_cache.errors import UsageError
from qda_worker.client.readers.document import Document, DocumentBuilder, bold_length, join_cells
from qda_worker.client.readers.office_package import OfficePackage

_REMOVED: Final = frozenset({
    "tracked-changes", "annotation", "annotation-end", "hidden-text", "ruby-text", "note-citation", "title", "desc",
    "sequence-decls", "forms", "change", "change-start", "change-end",
})  # fmt: skip
_SPACES: Final = re.compile(r"[ \t\r\n]+")
_SOFT_HYPHEN: Final = "\u00ad"
_MOST_SPACES: Final = 1_000


@dataclass(slots=True)
class _Paragraph:
    """A paragraph that is being read: its texts, each with whether it is bold, and the frames anchored in it."""

    parts: list[tuple[str, bool]] = field(default_factory=list)
    frames: list[Element] = field(default_factory=list)

    def add(self, text: str | None, *, bold: bool) -> None:
        """Add text, in which a run of blanks is one, as in HTML."""
        if not text:
            return
        kept = _SPACES.sub(" ", text).replace(_SOFT_HYPHEN, "")
        before = self.parts[-1][0] if self.parts else ""
        if kept.startswith(" ") and before.endswith(" "):
            kept = kept[1:]
        if kept:
            self.parts.append((kept, bold))

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)

    @property
    def bold(self) -> int:
        """Length of the bold text at the beginning."""
        return bold_length(self.parts)


def read_open_document(stream: IO[bytes], source: str) -> Document:
    """Return the text of a document.

    Raises:
        UsageError: when it is damaged or has a password.
    """
    with OfficePackage(stream, source) as package:
        manifest = package.parse("META-INF/manifest.xml")
        if manifest is not None and manifest.find(".//encryption-data") is not None:
            raise UsageError(
                f"{source} is a document with a password", "remove its password and save it again"
            )
        root = package.parse("content.xml")
        body = root.find("body/text") if root is not None else None
        if root is None or body is None:
            raise UsageError(
                f"{source} is damaged: it has no text", "open it with LibreOffice and save it again"
            )
        reader = _Reader(_bold_styles(root))
        builder = DocumentBuilder()
        for text, bold in reader.paragraphs(body):
            builder.add(text, bold=bold)
        for note in reader.notes:
            for text, _ in _Reader(frozenset()).paragraphs(note):
                builder.add(text, is_note=True)
        return builder.build()


def _bold_styles(root: Element) -> frozenset[str]:
    """Return the names of the styles of the document itself that are bold."""
    return frozenset(
        style.get("name", "")
        for style in root.iterfind("automatic-styles/style")
        for properties in style.iterfind("text-properties")
        if properties.get("font-weight") in {"bold", "600", "700", "800", "900"}
    )


class _Reader:
    """Walks through the body.

    Attributes:
        notes: the bodies of the footnotes and endnotes that were met.
    """

    def __init__(self, bold_styles: frozenset[str]) -> None:
        self._bold_styles = bold_styles
        self.notes: list[Element] = []

    def paragraphs(self, element: Element) -> Iterator[tuple[str, int]]:
        """Yield each paragraph and table row with the length of the bold text at its beginning."""
        for child in element:
            if child.tag in {"p", "h"}:
                paragraph = _Paragraph()
                self._read_inline(child, paragraph, bold=child.get("style-name") in self._bold_styles)
                if paragraph.text.strip():
                    yield paragraph.text, paragraph.bold
                for frame in paragraph.frames:
                    yield from self.paragraphs(frame)
            elif child.tag == "table-row":
                yield from self._row(child)
            elif child.tag not in _REMOVED:
                yield from self.paragraphs(child)  # lists, sections, tables

    def _row(self, row: Element) -> Iterator[tuple[str, int]]:
        return join_cells([list(self.paragraphs(cell)) for cell in row if cell.tag == "table-cell"])

    def _read_inline(self, element: Element, paragraph: _Paragraph, *, bold: bool) -> None:
        paragraph.add(element.text, bold=bold)
        for child in element:
            self._read_child(child, paragraph, bold=bold)
            paragraph.add(child.tail, bold=bold)

    def _read_child(self, child: Element, paragraph: _Paragraph, *, bold: bool) -> None:
        if child.tag in _REMOVED:
            return
        if child.tag == "tab":
            paragraph.parts.append(("\t", bold))
        elif child.tag == "line-break":
            paragraph.parts.append(("\n", bold))
        elif child.tag == "s":
            count = child.get("c", "1")
            paragraph.parts.append((" " * min(int(count), _MOST_SPACES) if count.isdecimal() else " ", bold))
        elif child.tag == "note":
            self.notes.extend(child.iterfind("note-body"))
        elif child.tag == "frame":
            paragraph.frames.append(child)
        else:
            style = child.get("style-name")
            self._read_inline(child, paragraph, bold=bold or style in self._bold_styles)
