"""Divide a document into segments: lines, paragraphs, turns, sentences, or the whole file. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qda_worker.client.readers.document import Block, Document
from qda_worker.client.readers.options import Segmentation
from qda_worker.client.readers.segment import Place, PlaceUnit, Segment
from qda_worker.client.readers.speakers import Utterance, find_utterances
from qda_worker.sentences.german_sentences import sentence_spans
from qda_worker.sentences.transcription_marks import is_only_marks


@dataclass(frozen=True, slots=True)
class _Part:
    """What was said in a block, in its turn.

    Attributes:
        turn: number of the turn; parts of one turn follow each other.
    """

    block: Block
    text: str
    start: int
    end: int
    turn: int
    speaker: str | None
    begins: float | None
    ends: float | None


def divide_transcript(
    document: Document, segment: Segmentation | None, source: str
) -> Iterator[Segment] | None:
    """Return the segments of a transcript, as `divide` does; None if no turns are recognized in the document."""
    parts, spoken = _parts(document)
    return (
        _divide_parts(document, parts, segment or Segmentation.TURN, source, spoken=spoken)
        if spoken
        else None
    )


def divide(document: Document, segment: Segmentation | None, source: str) -> Iterator[Segment]:
    """Yield the segments of a document.

    Args:
        document: the text and its blocks.
        segment: what is a segment; None: a turn in a transcript, else a paragraph. Turns of a text without speakers are
            its paragraphs.
        source: name of the source. The ids are numbers in it.
    """
    if segment is Segmentation.FILE:
        yield from _whole(document, source)
        return
    parts, spoken = _parts(document)
    if segment is None or segment is Segmentation.TURN:
        segment = Segmentation.TURN if spoken else Segmentation.PARAGRAPH
    yield from _divide_parts(document, parts, segment, source, spoken=spoken)


def _divide_parts(
    document: Document, parts: Sequence[_Part], segment: Segmentation, source: str, *, spoken: bool
) -> Iterator[Segment]:
    if segment is Segmentation.LINE:
        groups = [[part] for part in parts]
    else:
        by_turn = spoken and segment is not Segmentation.PARAGRAPH
        groups = list(_groups(parts, by_turn=by_turn))
    segments = _with_times([_join(document, group, source) for group in groups])
    for each in segments:
        if segment is Segmentation.SENTENCE:
            yield from divide_sentences(each)
        elif segment is Segmentation.LINE:
            yield from _lines(each)
        else:
            yield each


def _whole(document: Document, source: str) -> Iterator[Segment]:
    text = document.text
    if document.spoken:
        text = " ".join(block.text for block in document.blocks)
    if text.strip():
        first = document.blocks[0].number if document.blocks else 1
        place = Place(document.unit, first, 0, len(document.text))
        yield Segment(text, "", source, place=place)


def _parts(document: Document) -> tuple[list[_Part], bool]:
    """Return the parts of all blocks that are not empty, and whether the document is a transcript."""
    if document.spoken:
        return _spoken_parts(document.blocks), True
    utterances = find_utterances(document.blocks)
    if utterances is None:
        blocks = document.blocks
        plain = [
            _Part(each, each.text, each.start, each.end, at, None, None, None)
            for at, each in enumerate(blocks)
        ]
        return plain, False
    return _labelled_parts(utterances), True


def _spoken_parts(blocks: Sequence[Block]) -> list[_Part]:
    parts = []
    turn, speaker = 0, None
    for block in blocks:
        if block.speaker is None and is_only_marks(block.text):
            continue  # (12 seconds pause)
        if block.speaker is None or block.speaker != speaker or block.is_note:
            turn += 1
        speaker = block.speaker
        parts.append(
            _Part(block, block.text, block.start, block.end, turn, speaker, block.begins, block.ends)
        )
    return parts


def _labelled_parts(utterances: Sequence[Utterance]) -> list[_Part]:
    parts: list[_Part] = []
    labelled = any(each.speaker is not None for each in utterances)
    turn, speaker = 0, None
    begins: float | None = None
    for each in utterances:
        block = each.block
        opens = each.speaker is not None or (not labelled and each.begins is not None)
        if opens or block.is_note or speaker is None:
            # What stands before the first label is not one turn, and a footnote belongs to none.
            turn += 1
            begins = None
        if opens:
            speaker = each.speaker or ""
        begins = each.begins if begins is None else begins
        text = block.text[each.start : each.end]
        if text and not (is_only_marks(text) and (speaker is None or block.is_note)):
            parts.append(
                _Part(
                    block,
                    text,
                    block.start + each.start,
                    block.start + each.end,
                    turn,
                    None if block.is_note else speaker or None,
                    begins,
                    each.ends,
                )
            )
        elif labelled and each.speaker is None:  # a mark alone on its line
            mark = each.begins if each.ends is None else each.ends
            if parts and parts[-1].turn == turn and mark is not None:
                parts[-1] = replace(parts[-1], ends=mark)
    return parts


def _groups(parts: Sequence[_Part], *, by_turn: bool) -> Iterator[list[_Part]]:
    """Yield the parts of each turn, or of each paragraph within a turn."""
    group: list[_Part] = []
    for part in parts:
        ends = group and (
            part.turn != group[-1].turn
            if by_turn
            else part.block.opens_paragraph or part.speaker != group[-1].speaker
        )
        if ends:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _join(document: Document, parts: Sequence[_Part], source: str) -> Segment:
    first, last = parts[0], parts[-1]
    text = " ".join(part.text for part in parts) if document.spoken else document.text[first.start : last.end]
    ends = [part.ends for part in parts if part.ends is not None]
    return Segment(
        text,
        str(first.block.index),
        source,
        speaker=first.speaker,
        start=first.begins,
        end=ends[-1] if ends else None,
        place=Place(document.unit, first.block.number, first.start, last.end),
    )


def _with_times(segments: list[Segment]) -> list[Segment]:
    """Fill in the times that follow from the neighbours: transcripts have a mark either before or behind each turn."""
    if not segments:
        return []
    filled = [segments[0]]
    for before, segment in pairwise(segments):
        follows = segment.start is None and segment.speaker is not None and before.end is not None
        filled.append(replace(segment, start=before.end) if follows else segment)
    for at, (segment, after) in enumerate(pairwise(segments)):
        if segment.end is None and segment.start is not None and after.start is not None:
            filled[at] = replace(filled[at], end=after.start)
    return filled


def divide_sentences(segment: Segment) -> Iterator[Segment]:
    """Yield the sentences of a segment; their ids are `ID.1`, `ID.2`."""
    spans = sentence_spans(segment.text)
    yield from _slices(segment, [(span.start, span.end) for span in spans])


def _lines(segment: Segment) -> Iterator[Segment]:
    """Yield the lines of a paragraph that has line breaks within."""
    spans = []
    start = 0
    for line in segment.text.split("\n"):
        if line.strip():
            begin = start + len(line) - len(line.lstrip())
            spans.append((begin, begin + len(line.strip())))
        start += len(line) + 1
    if len(spans) == 1:
        yield segment
    else:
        yield from _slices(segment, spans)


def _slices(segment: Segment, spans: Sequence[tuple[int, int]]) -> Iterator[Segment]:
    """Yield parts of a segment, which follow each other; their ids are `ID.1`, `ID.2`."""
    place = segment.place
    lines, counted = 0, 0  # line ends before the part, and up to where they are counted
    for number, (start, end) in enumerate(spans, start=1):
        at = place
        if place is not None and place.start is not None and place.end is not None:
            exact = place.end - place.start == len(segment.text)
            at = replace(place, start=place.start + start, end=place.start + end) if exact else place
            if exact and place.unit is PlaceUnit.LINE:
                lines += segment.text.count("\n", counted, start)
                counted = start
                at = replace(at, number=place.number + lines)
        yield replace(segment, text=segment.text[start:end], id=f"{segment.id}.{number}", place=at)
