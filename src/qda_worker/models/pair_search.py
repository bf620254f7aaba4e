"""Cosine similarity of vectors, and the search for all similar pairs in a set of texts or between two sets.

Equal texts share one row of the matrix (`unique_texts`, `TextRows`), so their cosines are computed once. This makes
ties exact: in a matrix product the last bits of equal rows depend on their position. Scores are rounded to
six decimals, the precision of float32.

The search computes the matrix of cosines in tiles and keeps only candidates, so its memory does not grow with the
number of texts. It runs in the thread of the caller, which is a worker thread of the service, and needs no model. Each
step of its iterator computes one tile, about a tenth of a second on two cores, so that others have their turn between
two steps and a search that is not needed any more ends soon.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Decimals of a score; further ones are beyond single precision.
DECIMALS: Final = 6
# Scores per tile: 16 MiB of float32.
TILE_CELLS: Final = 2**22
# Maximum number of pairs that are sorted at once, about 60 bytes each. A single text may have more.
MAX_PAIRS: Final = 2**21
# Maximum rows and minimum columns of a tile.
_ROWS: Final = 1024
_COLUMNS: Final = 4096
# Tolerance when unrounded scores are compared with a bound: one unit of the last decimal.
_SLACK: Final = np.float32(10.0**-DECIMALS)
# Maximum columns per group when the bound of the top k is estimated.
_GROUP: Final = 64


@dataclass(frozen=True)
class TextRows:
    """The texts of a set as rows of a matrix that holds each distinct text once.

    Attributes:
        unit: float32 [distinct, d]; rows of length 1, or 0 for a vector of zeros.
        numbers: row of each text, int64 [n].
    """

    unit: Matrix
    numbers: Numbers

    @classmethod
    def from_vectors(cls, vectors: Matrix) -> "TextRows":
        """Return the rows of texts that are all distinct.

        Args:
            vectors: float32 [n, d], rows of any length.
        """
        return cls(normalize_rows(vectors), np.arange(len(vectors)))

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, start: int, stop: int) -> Matrix:
        """Return the unit rows of the texts from `start` up to `stop`, float32 [stop - start, d]."""
        taken: Matrix = self.unit[self.numbers[start:stop]]
        return taken

    @cached_property
    def columns(self) -> "Columns":
        """The distinct texts of this set and the positions of each."""
        return Columns.from_rows(self)


@dataclass(frozen=True, slots=True)
class Columns:
    """The distinct texts of a set, ordered by the last position of each.

    Attributes:
        row: row of each distinct text in the matrix.
        contiguous: whether these rows are consecutive.
        last: last position of each distinct text, ascending.
        positions: all positions, grouped by text and ascending within a group.
        start: where the group of each distinct text begins in `positions`.
        count: size of each group.
    """

    row: Numbers
    contiguous: bool
    last: Numbers
    positions: Numbers
    start: Numbers
    count: Numbers

    @classmethod
    def from_rows(cls, texts: TextRows) -> "Columns":
        """Group the positions of a set by text."""
        positions = np.argsort(texts.numbers, kind="stable")
        row, start, count = np.unique(texts.numbers[positions], return_index=True, return_counts=True)
        last = positions[start + count - 1]
        order = np.argsort(last)
        row = row[order]
        contiguous = bool((np.diff(row) == 1).all())
        return cls(row, contiguous, last[order], positions, start[order], count[order])


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts with their scores.

    Attributes:
        first: position of the first text, int64 [n].
        second: position of the second text, int64 [n].
        scores: cosines, float32 [n].
    """

    first: Numbers
    second: Numbers
    scores: NDArray[np.float32]


_NO_PAIRS: Final = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def unique_texts(texts: Sequence[str]) -> tuple[list[str], Numbers]:
    """Return the distinct texts by first appearance, and for each text the number of its own, int64 [n]."""
    numbers: dict[str, int] = {}
    index = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64, len(texts))
    return list(numbers), index


def normalize_rows(vectors: Matrix) -> Matrix:
    """Scale the rows to length 1 (L2), float32 [n, d]. A row of zeros stays as it is, so its cosines are 0."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, np.newaxis]
    rows: Matrix = (vectors / np.where(lengths == 0.0, 1.0, lengths)).astype(np.float32)
    return rows


def pair_scores(left: Matrix, right: Matrix) -> NDArray[np.float32]:
    """Return the cosine of each row of `left` with the same row of `right`.

    Args:
        left: float32 [n, d], rows of any length.
        right: float32 [n, d].

    Returns:
        float32 [n] in -1..1, rounded to six decimals.
    """
    return round_scores(np.einsum("nd,nd->n", normalize_rows(left), normalize_rows(right)))


def round_scores(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round cosines to six decimals and clip them to -1..1."""
    clipped: NDArray[np.float32] = np.clip(np.round(scores, DECIMALS), -1.0, 1.0)
    return clipped


def find_pairs(
    left: TextRows,
    right: TextRows | None,
    *,
    threshold: float | None,
    top_k: int | None,
    tile_cells: int = TILE_CELLS,
    max_pairs: int = MAX_PAIRS,
) -> Iterator[Pairs]:
    """Find similar pairs of a text of `left` and a text of `right`, or of two texts of `left`.

    A text is never paired with itself. Within one set, each pair comes once, the smaller position first; with `top_k` a
    pair may come in both directions. Memory is bounded by one tile of `tile_cells` scores and by `max_pairs` pairs, or
    by the pairs of a single text if these are more.

    Args:
        left: the first set.
        right: the second set; None searches within `left`.
        threshold: minimum score of a pair; None for no minimum.
        top_k: for each text of `left`, only its `top_k` most similar partners; None for all.
        tile_cells: scores per tile.
        max_pairs: maximum number of pairs that are sorted at once.

    Returns:
        Iterator with a step for each tile. Most steps have no pairs; the last one of a block of texts has those of the
        block, ordered by first position, descending score, second position.

    Raises:
        ValueError: when neither `threshold` nor `top_k` is given, or `top_k` is below 1.
    """
    if threshold is None and top_k is None:
        raise ValueError("a search for all pairs of all texts: give a threshold or top_k")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    return _Search(left, right, threshold, top_k, tile_cells, max_pairs).blocks()


class _Search:
    """One run of `find_pairs`. See there for the arguments."""

    def __init__(
        self,
        left: TextRows,
        right: TextRows | None,
        threshold: float | None,
        top_k: int | None,
        tile_cells: int,
        max_pairs: int,
    ) -> None:
        others = left if right is None else right
        self._left, self._columns, self._unit = left, others.columns, others.unit
        self._one_set = right is None
        self._threshold, self._top_k = threshold, top_k
        self._max_pairs = max_pairs
        # Within one set, a text's own column is among its best, so one more is needed.
        self._needed = None if top_k is None else top_k + self._one_set
        widest = _COLUMNS if self._needed is None else max(_COLUMNS, 16 * self._needed)
        self._rows = max(1, min(_ROWS, tile_cells // widest, tile_cells))
        self._width = max(1, tile_cells // self._rows)
        # How many positions of each distinct text can appear in the result of one text.
        self._used_positions = (
            self._columns.count if self._needed is None else np.minimum(self._columns.count, self._needed)
        )

    def blocks(self) -> Iterator[Pairs]:
        """Yield the pairs of one block of texts after the other, and no pairs after each tile before.

        A block with too many pairs is tried again with half the texts; the block size grows again later.
        """
        start, step = 0, self._rows
        while start < len(self._left):
            stop = min(start + step, len(self._left))
            pairs = yield from self._block(start, stop)
            if pairs is None:
                step = max(1, (stop - start) // 2)
                continue
            yield pairs
            if len(pairs.scores) < self._max_pairs // 8:
                step = min(self._rows, 2 * step)
            start = stop

    def _block(self, start: int, stop: int) -> Generator[Pairs, None, Pairs | None]:
        """Yield no pairs after each tile, and return those of the texts from `start` up to `stop`.

        Returns:
            The pairs; None if they are too many for more than one text.
        """
        rows = self._left.rows(start, stop)
        lowest = -1.0 if self._threshold is None else max(self._threshold, -1.0)
        bounds: Matrix = np.full((len(rows), 1), np.float32(lowest) - _SLACK, dtype=np.float32)
        candidates: list[tuple[Numbers, Numbers, NDArray[np.float32]]] = []
        count = 0
        for column in range(self._first_column(start), len(self._columns.row), self._width):
            scores = rows @ self._tile(column).T
            if self._needed is not None and self._needed <= scores.shape[1]:
                bounds = np.maximum(bounds, _lower_bound_of_top(scores, self._needed) - _SLACK)
            first, second = np.nonzero(scores >= bounds)
            candidates.append((first, second + column, scores[first, second]))
            count += int(self._used_positions[second + column].sum())
            if count > self._max_pairs and len(rows) > 1:
                return None
            yield _NO_PAIRS
        if not candidates:
            return _NO_PAIRS
        first, second, scored = (np.concatenate(parts) for parts in zip(*candidates, strict=True))
        return self._select(first, second, round_scores(scored), start)

    def _tile(self, column: int) -> Matrix:
        """Return the rows of some columns, copied only if they are not consecutive."""
        rows = self._columns.row[column : column + self._width]
        tile: Matrix = self._unit[rows[0] : rows[-1] + 1] if self._columns.contiguous else self._unit[rows]
        return tile

    def _first_column(self, start: int) -> int:
        """Return the first column that can have a partner for texts from `start` on.

        Where each pair comes once, a text whose last position is not after `start` has no partner left.
        """
        if not self._one_set or self._top_k is not None:
            return 0
        return int(np.searchsorted(self._columns.last, start, side="right"))

    def _select(self, first: Numbers, column: Numbers, scores: NDArray[np.float32], start: int) -> Pairs:
        """Expand the candidates of a block to pairs of positions, and return those that pass, in order."""
        if self._threshold is not None:
            passed = scores >= self._threshold - _SLACK / 2
            first, column, scores = first[passed], column[passed], scores[passed]
        times = self._used_positions[column]
        first, scores = np.repeat(first, times) + start, np.repeat(scores, times)
        nth = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
        second = self._columns.positions[np.repeat(self._columns.start[column], times) + nth]
        if self._one_set:
            apart = second > first if self._top_k is None else second != first
            first, second, scores = first[apart], second[apart], scores[apart]
        order = np.lexsort((second, -scores, first))
        first, second, scores = first[order], second[order], scores[order]
        if self._top_k is not None:
            rank = np.arange(len(first)) - np.searchsorted(first, first, side="left")
            kept = rank < self._top_k
            first, second, scores = first[kept], second[kept], scores[kept]
        return Pairs(first, second, scores)


def _lower_bound_of_top(scores: Matrix, needed: int) -> Matrix:
    """Return a score that at least `needed` columns of each row reach, [rows, 1].

    The columns are divided into at least `needed` groups; the result is the `needed`-th of the groups' maxima. This is
    much faster than finding the exact score.
    """
    width = min(_GROUP, scores.shape[1] // needed)
    groups = scores.shape[1] // width
    highest = scores[:, : width * groups].reshape(len(scores), width, groups).max(axis=1)
    bounds: Matrix = np.partition(highest, -needed, axis=1)[:, -needed, np.newaxis]
    return bounds
