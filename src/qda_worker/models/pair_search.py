"""The search for all close pairs in a set of texts or between two sets, in bounded memory.

Each distinct text is one row, so its cosines are computed once for all texts that are equal to it: a matrix product
gives the last bits of equal rows differently from place to place, and what is computed once ties exactly. Scores are
rounded to six decimals, below which single precision says nothing.

Cosines of vectors, and which texts are equal, so that each is computed once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

# Of a score; further ones are below what single precision can say.
DECIMALS: Final = 6


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Each distinct text once, by first appearance, and for every text the number of its own, int64 [n]."""
    numbers: dict[str, int] = {}
    index = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64, len(texts))
    return list(numbers), index


def normalised(vectors: Matrix) -> Matrix:
    """Rows of length 1, float32 [n, d]; a row of zeros stays as it is, so that its cosines are 0."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, np.newaxis]
    rows: Matrix = (vectors / np.where(lengths == 0.0, 1.0, lengths)).astype(np.float32)
    return rows


def pair_scores(left: Matrix, right: Matrix) -> NDArray[np.float32]:
    """The cosine of each row of `left` with the same row of `right`, float32 [n] in -1..1. Any lengths of rows."""
    return rounded(np.einsum("nd,nd->n", normalised(left), normalised(right)))


def rounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines as they are told: rounded to six decimals, never beyond -1 and 1."""
    clipped: NDArray[np.float32] = np.clip(np.round(scores, DECIMALS), -1.0, 1.0)
    return clipped


Numbers = NDArray[np.int64]

# Scores a tile: 16 MiB of them.
CELLS: Final = 2**22
# Pairs that are sorted at a time, unless one text alone has more: some 60 bytes each.
MOST_PAIRS: Final = 2**21
_ROWS: Final = 1024
_COLUMNS: Final = 4096
_SLACK: Final = np.float32(10.0**-DECIMALS)
_GROUP: Final = 64


@dataclass(frozen=True)
class TextRows:
    """The texts of a set as rows of a matrix that has each distinct text once.

    unit: float32 [distinct, d], rows of length 1, or 0 for a vector of zeros. numbers: each text's row, int64 [n].
    """

    unit: Matrix
    numbers: Numbers

    @classmethod
    def of(cls, vectors: Matrix) -> "TextRows":
        """Texts that are all distinct: float32 [n, d], rows of any length."""
        return cls(normalised(vectors), np.arange(len(vectors)))

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, start: int, stop: int) -> Matrix:
        """The unit rows of the texts from `start` up to `stop`."""
        taken: Matrix = self.unit[self.numbers[start:stop]]
        return taken

    @cached_property
    def columns(self) -> "Columns":
        """The distinct texts that occur here, with their places."""
        return Columns.of(self)


@dataclass(frozen=True, slots=True)
class Columns:
    """The distinct texts of a set, by the last place where each occurs.

    row: each one's row in the matrix; `in_order` where these lie beside each other. last: that place, rising.
    places: all places, those of one text together and rising; they begin at `start`, and `count` are its own.
    """

    row: Numbers
    in_order: bool
    last: Numbers
    places: Numbers
    start: Numbers
    count: Numbers

    @classmethod
    def of(cls, texts: TextRows) -> "Columns":
        """Sorts the places by text."""
        places = np.argsort(texts.numbers, kind="stable")
        row, start, count = np.unique(texts.numbers[places], return_index=True, return_counts=True)
        last = places[start + count - 1]
        order = np.argsort(last)
        row = row[order]
        in_order = bool((np.diff(row) == 1).all())
        return cls(row, in_order, last[order], places, start[order], count[order])


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of positions with their scores: first, second int64 [n], scores float32 [n]."""

    first: Numbers
    second: Numbers
    scores: NDArray[np.float32]


def find_pairs(
    left: TextRows,
    right: TextRows | None,
    *,
    threshold: float | None,
    best: int | None,
    cells: int = CELLS,
    most: int = MOST_PAIRS,
) -> Iterator[Pairs]:
    """Close pairs of a text of `left` and a text of `right`, or of two texts of `left` where `right` is None.

    threshold: only pairs that score at least this. best: for each text of `left` its `best` closest partners only;
    within one set a pair may then come in both directions. Without it each pair of a set comes once, the smaller
    position first. Never a text with itself.

    Yields the pairs of a few texts at a time, ordered by first position, falling score, second position. Memory is
    bounded by a tile of `cells` scores and by `most` pairs (or those of one text, if they are more), whatever the
    number of texts or pairs. Raises ValueError if neither limit is given, or best < 1.
    """
    if threshold is None and best is None:
        raise ValueError("all pairs of all texts: give a threshold or a number of the best")
    if best is not None and best < 1:
        raise ValueError(f"cannot find the {best} best")
    return _Search(left, right, threshold, best, cells, most).blocks()


class _Search:
    def __init__(
        self,
        left: TextRows,
        right: TextRows | None,
        threshold: float | None,
        best: int | None,
        cells: int,
        most: int,
    ) -> None:
        others = left if right is None else right
        self._left, self._columns, self._unit = left, others.columns, others.unit
        self._one_set = right is None
        self._threshold, self._best = threshold, best
        self._most = most
        # A text's own column is among its best: one more is looked for.
        self._wanted = None if best is None else best + self._one_set
        widest = _COLUMNS if self._wanted is None else max(_COLUMNS, 16 * self._wanted)
        self._rows = max(1, min(_ROWS, cells // widest, cells))
        self._width = max(1, cells // self._rows)
        self._shown = (
            self._columns.count if self._wanted is None else np.minimum(self._columns.count, self._wanted)
        )

    def blocks(self) -> Iterator[Pairs]:
        """A block of texts after the other; one with too many pairs is taken in smaller steps from there on."""
        start, step = 0, self._rows
        while start < len(self._left):
            stop = min(start + step, len(self._left))
            found = self._block(start, stop)
            if found is None:
                step = max(1, (stop - start) // 2)
                continue
            yield found
            if len(found.scores) < self._most // 8:
                step = min(self._rows, 2 * step)
            start = stop

    def _block(self, start: int, stop: int) -> Pairs | None:
        """The pairs of the texts from `start` up to `stop`; None where they are too many and texts are several."""
        rows = self._left.rows(start, stop)
        lowest = -1.0 if self._threshold is None else max(self._threshold, -1.0)
        bars: Matrix = np.full((len(rows), 1), np.float32(lowest) - _SLACK, dtype=np.float32)
        found: list[tuple[Numbers, Numbers, NDArray[np.float32]]] = []
        count = 0
        for column in range(self._first_column(start), len(self._columns.row), self._width):
            scores = rows @ self._tile(column).T
            if self._wanted is not None and self._wanted <= scores.shape[1]:
                bars = np.maximum(bars, _best_at_least(scores, self._wanted) - _SLACK)
            first, second = np.nonzero(scores >= bars)
            found.append((first, second + column, scores[first, second]))
            count += int(self._shown[second + column].sum())
            if count > self._most and len(rows) > 1:
                return None
        if not found:
            return Pairs(*(np.empty(0, np.int64),) * 2, np.empty(0, np.float32))
        first, second, scored = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return self._chosen(first, second, rounded(scored), start)

    def _tile(self, column: int) -> Matrix:
        """The rows of some columns: a copy only where they do not lie beside each other."""
        rows = self._columns.row[column : column + self._width]
        tile: Matrix = self._unit[rows[0] : rows[-1] + 1] if self._columns.in_order else self._unit[rows]
        return tile

    def _first_column(self, start: int) -> int:
        """Where each pair comes once, texts whose last place is not behind `start` have no partner left."""
        if not self._one_set or self._best is not None:
            return 0
        return int(np.searchsorted(self._columns.last, start, side="right"))

    def _chosen(self, first: Numbers, column: Numbers, scores: NDArray[np.float32], start: int) -> Pairs:
        """The candidates of a block as pairs of places, those that pass, in order."""
        if self._threshold is not None:
            passed = scores >= self._threshold - _SLACK / 2
            first, column, scores = first[passed], column[passed], scores[passed]
        times = self._shown[column]
        first, scores = np.repeat(first, times) + start, np.repeat(scores, times)
        nth = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
        second = self._columns.places[np.repeat(self._columns.start[column], times) + nth]
        if self._one_set:
            apart = second > first if self._best is None else second != first
            first, second, scores = first[apart], second[apart], scores[apart]
        order = np.lexsort((second, -scores, first))
        first, second, scores = first[order], second[order], scores[order]
        if self._best is not None:
            rank = np.arange(len(first)) - np.searchsorted(first, first, side="left")
            kept = rank < self._best
            first, second, scores = first[kept], second[kept], scores[kept]
        return Pairs(first, second, scores)


def _best_at_least(scores: Matrix, best: int) -> Matrix:
    """A score that at least `best` columns of each row reach, [rows, 1]: much faster than the exact one.

    The columns are dealt into at least `best` groups; the `best`-th of the groups' highest scores is such a score.
    """
    width = min(_GROUP, scores.shape[1] // best)
    groups = scores.shape[1] // width
    highest = scores[:, : width * groups].reshape(len(scores), width, groups).max(axis=1)
    bars: Matrix = np.partition(highest, -best, axis=1)[:, -best, np.newaxis]
    return bars
