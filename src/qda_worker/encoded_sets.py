"""Sets of texts as vectors, in which each distinct text is encoded once, even if it occurs in both sets.

Outcomes are added in batches and only the necessary part is kept: one row of a matrix and two bits for each distinct
text. So 100,000 texts take the memory of the matrix and little else. Instances are not thread-safe; one call owns
each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.pair_search import Matrix, TextRows, normalize_rows, unique_texts
from qda_worker.scheduling.jobs import Failure, Outcome, Success, Timings


@dataclass(frozen=True, slots=True)
class DistinctTexts:
    """The texts of several sets without repetitions.

    Attributes:
        contents: each text once, by first appearance.
        indices: for each set an array int64 [n]: the position in `contents` of each of its texts.
    """

    contents: list[str]
    indices: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, sets: Sequence[Sequence[str]]) -> "DistinctTexts":
        """Return the distinct texts of `sets`."""
        contents, indices = unique_texts([content for text_set in sets for content in text_set])
        borders = np.cumsum([len(text_set) for text_set in sets])[:-1]
        return cls(contents, tuple(np.split(indices, borders)))


class EncodedSets:
    """The outcomes of distinct texts, and views of them by set. The views are valid when all outcomes are added.

    Attributes:
        encoded_count: Distinct texts that have a vector.
        timings: the timings of all texts: the longest time in the queue, and the sums of the other times.
    """

    def __init__(self, distinct_texts: DistinctTexts) -> None:
        count = len(distinct_texts.contents)
        self._indices = distinct_texts.indices
        # The row of each distinct text in `_unit_vectors`; -1 without a vector.
        self._row = np.full(count, -1, np.int64)
        self._cut = np.zeros(count, np.bool_)
        self._windowed = np.zeros(count, np.bool_)
        self._failures: dict[int, Failure] = {}
        self._unit_vectors: Matrix = np.empty((0, 1), np.float32)
        self._added_count = 0
        self.encoded_count = 0
        self.timings = Timings()

    def add(self, outcomes: Sequence[Outcome[Any]]) -> None:
        """Add the outcomes of the next distinct texts, in the order of `DistinctTexts.contents`."""
        successes = [
            (index, outcome)
            for index, outcome in enumerate(outcomes, self._added_count)
            if isinstance(outcome, Success)
        ]
        if successes:
            vectors = normalize_rows(np.stack([outcome.result.dense for _, outcome in successes]))
            if not self.encoded_count:
                self._unit_vectors = np.empty((len(self._row), vectors.shape[1]), np.float32)
            stop = self.encoded_count + len(vectors)
            self._unit_vectors[self.encoded_count : stop] = vectors
            self._row[[index for index, _ in successes]] = np.arange(self.encoded_count, stop)
            self.encoded_count = stop
        for index, outcome in enumerate(outcomes, self._added_count):
            timings = outcome.timings
            self.timings.queue = max(self.timings.queue, timings.queue)
            self.timings.tokenize += timings.tokenize
            self.timings.compute += timings.compute
            if isinstance(outcome, Failure):
                self._failures[index] = outcome
            else:
                self._cut[index] = outcome.usage.cut
                self._windowed[index] = outcome.usage.window_count > 1
        self._added_count += len(outcomes)

    @property
    def cut_count(self) -> int:
        """Texts of all sets of which only the beginning was read."""
        return sum(int(self._cut[indices].sum()) for indices in self._indices)

    @property
    def windowed_count(self) -> int:
        """Texts of all sets that were read in windows."""
        return sum(int(self._windowed[indices].sum()) for indices in self._indices)

    def positions(self, set_index: int) -> NDArray[np.int64]:
        """Return the positions of the texts of a set that have a vector, int64 [m]."""
        return np.nonzero(self._row[self._indices[set_index]] >= 0)[0]

    def rows(self, set_index: int) -> TextRows:
        """Return the vectors of those texts, in the same order, for the search."""
        rows = self._row[self._indices[set_index]]
        return TextRows(self._unit_vectors[: self.encoded_count], rows[rows >= 0])

    def failures(self, set_index: int) -> list[tuple[int, Failure]]:
        """Return the position of each text of a set that has no vector, and why."""
        if not self._failures:
            return []
        indices = self._indices[set_index]
        missing = np.nonzero(self._row[indices] < 0)[0]
        return [(position, self._failures[int(indices[position])]) for position in missing.tolist()]
