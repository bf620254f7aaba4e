"""Sets of texts as vectors, each distinct text encoded once, whichever set it is in.

Of an outcome stays a row of one matrix and two bits: 100,000 texts take the matrix and little else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.pair_search import Matrix, TextRows, distinct, normalised
from qda_worker.scheduling.jobs import Answered, Failed, Outcome, Timings


@dataclass(frozen=True, slots=True)
class DistinctTexts:
    """The texts of several sets.

    texts: each once, by first appearance. numbers: for each set, for each of its texts the number of its own in
    `texts`, int64 [n].
    """

    texts: list[str]
    numbers: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, sets: Sequence[Sequence[str]]) -> "DistinctTexts":
        """Find out which texts are equal."""
        texts, numbers = distinct([text for one in sets for text in one])
        borders = np.cumsum([len(one) for one in sets])[:-1]
        return cls(texts, tuple(np.split(numbers, borders)))


class EncodedSets:
    """The outcomes of distinct texts, seen as the sets that they came from.

    They are added in the order of the texts; what is asked about the sets is known when all are there.
    """

    def __init__(self, sets: DistinctTexts) -> None:
        self._numbers = sets.numbers
        count = len(sets.texts)
        self._row = np.full(count, -1, np.int64)
        self._cut = np.zeros(count, np.bool_)
        self._windowed = np.zeros(count, np.bool_)
        self._failed: dict[int, Failed] = {}
        self._unit: Matrix = np.empty((0, 1), np.float32)
        self._added = 0
        self.encoded = 0
        """Distinct texts that have a vector."""
        self.timings = Timings()
        """Those of all texts: the longest wait, and the sums of the rest."""

    def add(self, outcomes: Sequence[Outcome[Any]]) -> None:
        """Takes in the outcomes of the next texts; nothing of them is held but what is said above."""
        answered = [
            (number, each) for number, each in enumerate(outcomes, self._added) if isinstance(each, Answered)
        ]
        if answered:
            vectors = normalised(np.stack([each.result.dense for _, each in answered]))
            if not self.encoded:
                self._unit = np.empty((len(self._row), vectors.shape[1]), np.float32)
            stop = self.encoded + len(vectors)
            self._unit[self.encoded : stop] = vectors
            self._row[[number for number, _ in answered]] = np.arange(self.encoded, stop)
            self.encoded = stop
        for number, outcome in enumerate(outcomes, self._added):
            spent = outcome.timings
            self.timings.queue = max(self.timings.queue, spent.queue)
            self.timings.tokenise += spent.tokenise
            self.timings.compute += spent.compute
            if isinstance(outcome, Failed):
                self._failed[number] = outcome
            else:
                self._cut[number] = outcome.usage.cut
                self._windowed[number] = outcome.usage.window_count > 1
        self._added += len(outcomes)

    @property
    def cut(self) -> int:
        """Texts of all sets of which only the beginning was read."""
        return sum(int(self._cut[numbers].sum()) for numbers in self._numbers)

    @property
    def windowed(self) -> int:
        """Texts of all sets that were read in windows."""
        return sum(int(self._windowed[numbers].sum()) for numbers in self._numbers)

    def positions(self, which: int) -> NDArray[np.int64]:
        """Which texts of a set have a vector, by position: int64 [m]."""
        return np.nonzero(self._row[self._numbers[which]] >= 0)[0]

    def rows(self, which: int) -> TextRows:
        """Those texts, in that order, for the search."""
        rows = self._row[self._numbers[which]]
        return TextRows(self._unit[: self.encoded], rows[rows >= 0])

    def failures(self, which: int) -> list[tuple[int, Failed]]:
        """The texts of a set without a vector, by position, and why."""
        if not self._failed:
            return []
        numbers = self._numbers[which]
        missing = np.nonzero(self._row[numbers] < 0)[0]
        return [(position, self._failed[int(numbers[position])]) for position in missing.tolist()]
