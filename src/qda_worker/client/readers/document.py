"""What readers of documents return: the text of a source and its blocks. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

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
        is_note: whether it is a footnote, which belongs to no turn.
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
        kept, bold = trimmed(text, bold)
        if not kept:
            return
        index = len(self._blocks) + 1
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


def trimmed(text: str, bold: int) -> tuple[str, int]:
    """Return the text without surrounding blanks, and the length of what is bold at its beginning.

    Args:
        text: of a paragraph.
        bold: length of the bold text at the beginning, blanks among it.
    """
    kept = text.strip()
    return kept, min(len(kept), max(0, bold - (len(text) - len(text.lstrip()))))


def bold_length(parts: Sequence[tuple[str, bool]]) -> int:
    """Return the length of the bold text at the beginning of a paragraph, blanks among it; 0 if all of it is blank.

    Args:
        parts: the texts of the paragraph, each with whether it is bold.
    """
    if not any(bold and text.strip() for text, bold in parts):
        return 0
    return sum(len(text) for text, _ in takewhile(lambda part: part[1] or not part[0].strip(), parts))


def join_cells(cells: Sequence[Sequence[tuple[str, int]]]) -> Iterator[tuple[str, int]]:
    """Yield a table row as one paragraph; as several if its cells have several, the first ones together.

    Args:
        cells: the paragraphs of each cell, each with the length of the bold text at its beginning.
    """
    filled = [cell for cell in cells if cell]
    if not filled:
        return
    if any(len(cell) > 1 for cell in filled[:-1]):
        for cell in filled:
            yield from cell
        return
    # A label or a time in the cells before belongs to the first paragraph of the last cell.
    first = [cell[0] for cell in filled]
    bold = first[0][1] if first[0][1] == len(first[0][0]) else 0
    yield "\t".join(text for text, _ in first), bold
    yield from filled[-1][1:]


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
