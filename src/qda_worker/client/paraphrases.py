"""What a search for paraphrases brings back, as frozen plain Python values."""

from __future__ import annotations

from dataclasses import dataclass

from qda_worker.client.results import ItemError, Provenance, Timings


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """Two like texts.

    Attributes:
        first: position of one text within `texts`, from 0.
        second: position of the other, within `others` if they were given, else within `texts`.
        score: the cosine of their vectors, -1 to 1.
    """

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A text that takes no part: whether it is one of `others`, its position there, its id, and why."""

    in_others: bool
    index: int
    id: str
    error: ItemError


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """The pairs, by the first text's position, then by falling score, then by the second text's position.

    Attributes:
        pairs: what was found.
        problems: texts that could not be used; all others were.
        provenance: the model that answered.
        encoded_texts: distinct texts that were encoded.
        cut_texts: texts of which only the beginning was used.
        windowed_texts: texts that were used in windows.
        timings: where the time went.
    """

    pairs: tuple[Paraphrase, ...]
    problems: tuple[TextProblem, ...]
    provenance: Provenance
    encoded_texts: int
    cut_texts: int
    windowed_texts: int
    timings: Timings
