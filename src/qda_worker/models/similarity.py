"""Cosines of vectors, and which texts are equal, so that each is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

DECIMALS: Final = 6
"""Of a score; further ones are below what single precision can say."""


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
