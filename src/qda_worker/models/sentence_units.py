"""A text together with its sentences, as units of one queue.

The sentences are computed like texts of their own, in the same batches. Equal units are computed once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qda_worker.errors import TooManyTexts
from qda_worker.limits import MAX_SENTENCES
from qda_worker.models.base import Options, PreparedText, Unit
from qda_worker.models.text_pieces import PIECE_LENGTH
from qda_worker.models.tokenization import Ids
from qda_worker.sentences.german_sentences import sentence_spans
from qda_worker.sentences.span import Span

_Output = TypeVar("_Output")


@dataclass(frozen=True, slots=True)
class SentenceOptions(Options):
    """Options of a text whose sentences are computed too. The policy for long texts applies to each sentence."""


@dataclass(frozen=True, slots=True)
class PreparedSentence:
    """One sentence of a text.

    Attributes:
        span: the sentence in the text as sent, in code points.
        prepared: the sentence as a text of its own.
        unit_indices: positions of its units among all units of the text.
    """

    span: Span
    prepared: PreparedText[Ids]
    unit_indices: tuple[int, ...]

    def select_outputs(self, outputs: Sequence[_Output]) -> list[_Output]:
        """Return the outputs of this sentence's windows from those of all units of the text."""
        return [outputs[index] for index in self.unit_indices]


@dataclass(frozen=True, slots=True)
class PreparedTextWithSentences(PreparedText[Ids]):
    """A text whose units are followed by those of its sentences; equal units are included once.

    `windows`, `length` and `used_length` are those of the whole text, so the first `len(windows)` units are its own.

    Attributes:
        sentences: the sentences, in text order.
    """

    sentences: tuple[PreparedSentence, ...] = ()


def add_sentences(
    text: str, whole: PreparedText[Ids], prepare: Callable[[str], PreparedText[Ids]]
) -> Iterator[PreparedTextWithSentences | None]:
    """Add the sentences of a text to its units, step by step.

    Args:
        text: the text as sent.
        whole: the prepared text.
        prepare: prepares one sentence; what it raises is passed on.

    Yields:
        None after each step of about PIECE_LENGTH code points; the text with its sentences at the end.

    Raises:
        TooManyTexts: when the text has more than MAX_SENTENCES sentences.
    """
    spans = sentence_spans(text)
    if len(spans) > MAX_SENTENCES:
        raise TooManyTexts(
            f"the text has {len(spans)} sentences, and at most {MAX_SENTENCES} are answered at once",
            "split the text, or leave include_sentences out",
        )
    units: list[Unit[Ids]] = list(whole.units)
    index_by_ids = {unit.payload.tobytes(): index for index, unit in enumerate(units)}
    sentences = []
    next_step = PIECE_LENGTH
    for span in spans:
        if span.start >= next_step:
            next_step = span.start + PIECE_LENGTH
            yield None
        prepared = prepare(text[span.start : span.end])
        indices = []
        for unit in prepared.units:
            index = index_by_ids.setdefault(unit.payload.tobytes(), len(units))
            if index == len(units):
                units.append(unit)
            indices.append(index)
        sentences.append(PreparedSentence(span, prepared, tuple(indices)))
    yield PreparedTextWithSentences(
        units=tuple(units),
        windows=whole.windows,
        length=whole.length,
        used_length=whole.used_length,
        sentences=tuple(sentences),
    )
