"""A segment of a source: the text that is analyzed, who said it when, and where in the source it is. No I/O."""

from dataclasses import dataclass, field
from enum import StrEnum

from qda_worker.client.results import ItemError
from qda_worker.client.texts import InvalidText, Text


class PlaceUnit(StrEnum):
    """What the number of a place counts, from 1."""

    LINE = "line"  # of a plain text file, JSON Lines included
    ROW = "row"  # of a table, as a spreadsheet numbers them: the header is row 1
    PARAGRAPH = "paragraph"  # of a document
    PAGE = "page"  # of a PDF
    CUE = "cue"  # of subtitles
    SEGMENT = "segment"  # of a transcript in JSON
    ITEM = "item"  # of a list in JSON


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment begins in its source.

    `start` and `end` are code points. They count in the text of the source: that of a text file after decoding, without
    a byte order mark and with LF as line end, or the text of a document as it was extracted. They are None for tables,
    JSON Lines and lists in JSON, whose rows have a text each. Marks that are left out of a segment (its label, its
    time) may lie between them, so the text between them may be longer than the segment's.

    Attributes:
        unit: what `number` counts.
        number: of the line, row, paragraph, page, cue, segment or item in which the segment begins, from 1.
        start: where the segment begins in the text of the source.
        end: where it ends.
    """

    unit: PlaceUnit
    number: int
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a source that is analyzed as one text.

    Attributes:
        text: what is sent to the worker; positions in results refer to it.
        id: from the id column, or the number of the segment; behind `<source>#` if there are several sources.
        source: the file's name as it was given; `stdin` for standard input.
        speaker: label of the speaker without its colon; None if none is known.
        start: when it begins, in seconds from the start of the recording; None if unknown.
        end: when it ends, in the same way.
        place: where it is in the source; None if unknown.
        language: BCP-47 code; empty if unknown.
    """

    text: str
    id: str
    source: str
    speaker: str | None = None
    start: float | None = None
    end: float | None = None
    place: Place | None = None
    language: str = ""

    def to_text(self) -> Text:
        """Return what is sent to the worker."""
        return Text(self.text, id=self.id, language=self.language)


@dataclass(frozen=True, slots=True)
class InvalidSegment(Segment):
    """A row, line or file that has no text that can be sent. Its result is the error.

    Attributes:
        error: why not.
    """

    error: ItemError = field(kw_only=True)

    def to_text(self) -> Text:
        """Return the place of the text in a call, with the error as its result."""
        return InvalidText(self.text, id=self.id, language=self.language, error=self.error)
