"""A text together with its sentences, as units of one queue: a sentence is computed as any other text is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from qda_worker.errors import TooManyTexts
from qda_worker.limits import MAX_SENTENCES
from qda_worker.models.base import Options, Prepared, Span, Unit
from qda_worker.models.german_sentences import sentence_spans
from qda_worker.models.tokenization import Ids

_Output = TypeVar("_Output")


@dataclass(frozen=True, slots=True)
class SentenceOptions(Options):
    """Options of a text whose sentences are answered, too; the policy for long texts holds for each of them."""


@dataclass(frozen=True, slots=True)
class PreparedSentence:
    """One sentence: its place in the text as sent, in code points, itself as a text, and where its units stand."""

    span: Span
    prepared: Prepared[Ids]
    places: tuple[int, ...]

    def outputs(self, of_all: Sequence[_Output]) -> list[_Output]:
        """Its own windows' outputs among those of all units."""
        return [of_all[place] for place in self.places]


@dataclass(frozen=True, slots=True)
class PreparedWithSentences(Prepared[Ids]):
    """The whole text, whose units are followed by those of its sentences; equal units stand there once.

    windows, length, used_length: the whole text's. So the first `len(windows)` units are its own.
    """

    sentences: tuple[PreparedSentence, ...] = ()


def with_sentences(
    text: str, whole: Prepared[Ids], prepare: Callable[[str], Prepared[Ids]]
) -> PreparedWithSentences:
    """Adds the sentences of `text`, each made ready by `prepare`. Raises TooManyTexts, and what `prepare` raises."""
    spans = sentence_spans(text)
    if len(spans) > MAX_SENTENCES:
        raise TooManyTexts(
            f"the text has {len(spans)} sentences, and at most {MAX_SENTENCES} are answered at once",
            "split the text, or leave include_sentences out",
        )
    units: list[Unit[Ids]] = list(whole.units)
    places = {unit.payload.tobytes(): place for place, unit in enumerate(units)}
    sentences = []
    for span in spans:
        prepared = prepare(text[span.start : span.end])
        own = []
        for unit in prepared.units:
            place = places.setdefault(unit.payload.tobytes(), len(units))
            if place == len(units):
                units.append(unit)
            own.append(place)
        sentences.append(PreparedSentence(span, prepared, tuple(own)))
    return PreparedWithSentences(
        units=tuple(units),
        windows=whole.windows,
        length=whole.length,
        used_length=whole.used_length,
        sentences=tuple(sentences),
    )
