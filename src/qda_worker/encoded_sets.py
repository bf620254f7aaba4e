"""Sets of texts as vectors, each distinct text encoded once, whichever set it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.similarity import distinct
from qda_worker.scheduling.work import Answered, Failed, Outcome


@dataclass(frozen=True, slots=True)
class DistinctTexts:
    """The texts of several sets.

    texts: each once, by first appearance. numbers: for each set, for each of its texts the number of its own in
    `texts`, int64 [n].
    """

    texts: list[str]
    numbers: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, sets: Sequence[Sequence[str]]) -> DistinctTexts:
        """Find out which texts are equal."""
        texts, numbers = distinct([text for one in sets for text in one])
        borders = np.cumsum([len(one) for one in sets])[:-1]
        return cls(texts, tuple(np.split(numbers, borders)))


class EncodedSets:
    """The outcomes of distinct texts, seen as the sets that they came from."""

    def __init__(self, sets: DistinctTexts, outcomes: Sequence[Outcome[Any]]) -> None:
        self.outcomes = outcomes
        self._numbers = sets.numbers
        self._answered = np.fromiter(
            (isinstance(each, Answered) for each in outcomes), np.bool_, len(outcomes)
        )
        rows = [each.result.dense for each in outcomes if isinstance(each, Answered)]
        self._vectors = np.stack(rows) if rows else np.empty((0, 1), np.float32)
        self._row = np.cumsum(self._answered) - 1

    @property
    def encoded(self) -> int:
        """Distinct texts that have a vector."""
        return len(self._vectors)

    def positions(self, which: int) -> NDArray[np.int64]:
        """Which texts of a set have a vector, by position: int64 [m]."""
        return np.nonzero(self._answered[self._numbers[which]])[0]

    def vectors(self, which: int) -> NDArray[np.float32]:
        """Their vectors, float32 [m, d]."""
        rows: NDArray[np.float32] = self._vectors[self._row[self._numbers[which][self.positions(which)]]]
        return rows

    def failures(self, which: int) -> list[tuple[int, Failed]]:
        """The texts of a set without a vector, by position, and why."""
        found = []
        for position in np.nonzero(~self._answered[self._numbers[which]])[0].tolist():
            outcome = self.outcomes[int(self._numbers[which][position])]
            if isinstance(outcome, Failed):
                found.append((position, outcome))
        return found

    def of_all_texts(self) -> list[Outcome[Any]]:
        """The outcome of every text of every set."""
        return [self.outcomes[number] for numbers in self._numbers for number in numbers.tolist()]
