"""Scores of pairs, and the search for all close pairs in a set or between two sets, in bounded memory.

Scores are cosines, rounded to six decimals. A matrix product gives the last bits of equal pairs differently from block
to block; rounded, equal texts tie, and ties have a defined order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_DECIMALS = 6
_SLACK = 10.0**-_DECIMALS
_GROUP = 64
CELLS = 2**22
"""Scores a block: 16 MiB of them, and at worst, when every one passes, ten times that while they are sorted."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of row numbers with their scores: first, second int64 [n], scores float32 [n]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    scores: NDArray[np.float32]


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
    return _rounded(np.einsum("nd,nd->n", normalised(left), normalised(right)))


def find_pairs(
    left: Matrix, right: Matrix | None, *, threshold: float | None, best: int | None, cells: int = CELLS
) -> Iterator[Pairs]:
    """Close pairs of a row of `left` and a row of `right`, or of two rows of `left` where `right` is None.

    left, right: float32 [n, d] and [m, d], rows of any length. threshold: only pairs that score at least this.
    best: for each row of `left` its `best` closest partners only; within one set a pair may then come in both
    directions. Without it each pair of a set comes once, the smaller row first. Never a row with itself.

    Yields the pairs of a few rows at a time, ordered by first row, falling score, second row: memory is bounded by
    one block of `cells` scores (or one row, if that is longer), whatever the number of texts or pairs. Raises
    ValueError if neither limit is given, or best < 1.
    """
    if threshold is None and best is None:
        raise ValueError("all pairs of all texts: give a threshold or a number of the best")
    if best is not None and best < 1:
        raise ValueError(f"cannot find the best {best} of each row")
    return _found(normalised(left), None if right is None else normalised(right), threshold, best, cells)


def _found(
    left: Matrix, right: Matrix | None, threshold: float | None, best: int | None, cells: int
) -> Iterator[Pairs]:
    """`find_pairs` on rows of length 1; a generator apart, so that wrong arguments are told at the call."""
    others = left if right is None else right
    step = max(1, cells // max(1, len(others)))
    for start in range(0, len(left), step):
        rows = left[start : start + step]
        column = start if right is None and best is None else 0  # each pair once: nothing before the diagonal
        scores = rows @ others[column:].T
        if right is None:
            _leave_out(scores, start - column, before=best is None)
        pairs = _candidates(scores, threshold, best)
        yield Pairs(pairs.first + start, pairs.second + column, pairs.scores)


def _leave_out(scores: Matrix, diagonal: int, *, before: bool) -> None:
    """Rules out each row with itself, at column row + `diagonal`, and with `before` all columns before that."""
    own = np.arange(len(scores))
    if before:
        scores[np.arange(scores.shape[1]) <= own[:, np.newaxis] + diagonal] = -np.inf
    else:
        scores[own, own + diagonal] = -np.inf


def _candidates(scores: Matrix, threshold: float | None, best: int | None) -> Pairs:
    """The pairs of one block that pass, in order. Bars are lowered by what rounding may lift, then asked again."""
    lowest = -1.0 if threshold is None else max(threshold, -1.0)  # what was left out is lower than any cosine
    bars: Matrix = np.full((len(scores), 1), lowest - _SLACK, dtype=np.float32)
    if best is not None and best < scores.shape[1]:
        bars = np.maximum(bars, _best_at_least(scores, best) - np.float32(_SLACK))
    first, second = np.nonzero(scores >= bars)
    rounded = _rounded(scores[first, second])
    if threshold is not None:
        passed = rounded >= threshold - _SLACK / 2
        first, second, rounded = first[passed], second[passed], rounded[passed]
    order = np.lexsort((second, -rounded, first))
    first, second, rounded = first[order], second[order], rounded[order]
    if best is not None:
        rank = np.arange(len(first)) - np.searchsorted(first, first, side="left")
        first, second, rounded = first[rank < best], second[rank < best], rounded[rank < best]
    return Pairs(first, second, rounded)


def _best_at_least(scores: Matrix, best: int) -> Matrix:
    """A score that at least `best` columns of each row reach, [rows, 1]: much faster than the exact one.

    The columns are dealt into at least `best` groups; the `best`-th of the groups' highest scores is such a score.
    """
    width = min(_GROUP, scores.shape[1] // best)
    groups = scores.shape[1] // width
    highest = scores[:, : width * groups].reshape(len(scores), width, groups).max(axis=1)
    bars: Matrix = np.partition(highest, -best, axis=1)[:, -best, np.newaxis]
    return bars


def _rounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped: NDArray[np.float32] = np.clip(np.round(scores, _DECIMALS), -1.0, 1.0)
    return clipped
