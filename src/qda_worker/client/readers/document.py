"""What readers of documents return: the text of a source and its blocks. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from qda_worker.client.readers.segment import PlaceUnit


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or table row of a document, a line of a text, a cue of subtitles.

    Attributes:
        text: what it says; without surrounding blanks.
        number: from 1, in the unit of the document; pages have several blocks of one number.
        start: where it begins in the text of the document, in code points.
        end: where it ends.
        index: number of the block in its source, from 1, for ids.
        bold: length of the bold text at its beginning, which may be a speaker's label.
        speaker: who speaks, if the format says so.
        begins: when it begins, in seconds, if the format says so.
        ends: when it ends, if the format says so.
        opens_paragraph: whether a paragraph begins with it.
        is_note: whether it is a footnote, which belongs to nobody's turn.
        is_line: whether it is a line of a plain text.
    """

    text: str
    number: int
    start: int
    end: int
    index: int
    bold: int = 0
    speaker: str | None = None
    begins: float | None = None
    ends: float | None = None
    opens_paragraph: bool = True
    is_note: bool = False
    is_line: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a source.

    Attributes:
        text: the content of a text file, or what was extracted from a document.
        blocks: its blocks, in order.
        unit: what their numbers count.
        spoken: whether the format is one of transcripts, which says who speaks when. Its blocks may be shorter than
            their place in the text (markup), and those of one speaker that follow each other are one turn.
    """

    text: str
    blocks: Sequence[Block]
    unit: PlaceUnit
    spoken: bool = False


class DocumentBuilder:
    """Joins paragraphs to a document, with LF between them."""

    def __init__(self, unit: PlaceUnit = PlaceUnit.PARAGRAPH) -> None:
        """Begin without a paragraph."""
        self._unit = unit
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._size = 0

    def add(
        self,
        text: str,
        *,
        number: int | None = None,
        bold: int = 0,
        speaker: str | None = None,
        begins: float | None = None,
        ends: float | None = None,
        is_note: bool = False,
    ) -> None:
        """Add a paragraph; a blank one is left out.

        Args:
            text: its content.
            number: its number in the unit; None: it is counted.
            bold: length of the bold text at its beginning.
            speaker: who speaks.
            begins: when it begins, in seconds.
            ends: when it ends.
            is_note: whether it is a footnote.
        """
        kept = text.strip()
        if not kept:
            return
        index = len(self._blocks) + 1
        bold = max(0, bold - (len(text) - len(text.lstrip())))
        self._blocks.append(
            Block(
                kept,
                number=index if number is None else number,
                start=self._size,
                end=self._size + len(kept),
                index=index,
                bold=bold,
                speaker=speaker,
                begins=begins,
                ends=ends,
                is_note=is_note,
            )
        )
        self._parts.append(kept)
        self._size += len(kept) + 1

    def build(self, *, spoken: bool = False) -> Document:
        """Return the document."""
        return Document("\n".join(self._parts), tuple(self._blocks), self._unit, spoken=spoken)


def text_document(text: str) -> Document:
    """Return the document of a plain text, whose blocks are its lines; blank lines are between paragraphs."""
    blocks: list[Block] = []
    start, opens = 0, True
    for number, line in enumerate(text.split("\n"), start=1):
        kept = line.strip()
        if kept:
            begin = start + len(line) - len(line.lstrip())
            blocks.append(
                Block(
                    kept, number, begin, begin + len(kept), index=number, opens_paragraph=opens, is_line=True
                )
            )
        opens = not kept
        start += len(line) + 1
    return Document(text, tuple(blocks), PlaceUnit.LINE)
