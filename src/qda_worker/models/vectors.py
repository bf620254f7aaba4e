"""What a text's vectors are, and what may be asked for; plain values, so that services need no torch to handle them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.base import Options, Span, VectorKind

# Tokens of one text that get a vector each, at most: 128 MiB of 1,024 float32, held until its last window
# is done.
MAX_MULTI_VECTOR_TOKENS: Final = 32_768

DENSE_ALONE: Final = frozenset({VectorKind.DENSE})


@dataclass(frozen=True, slots=True)
class VectorOptions(Options):
    """What a caller may choose for a text's vectors. The defaults are what the model's own files make of a text.

    kinds: those wanted, all from one computation. dimension: leading numbers of the dense vector to keep; None: all.
    normalise: whether the dense vector is brought to length 1, also where the model does not.
    """

    kinds: frozenset[VectorKind] = DENSE_ALONE
    dimension: int | None = None
    normalise: bool = False


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to one truth value
class SparseWeights:
    """Weights of a text's tokens, by falling weight, then by rising id: ids int32 [n], weights float32 [n] above 0.

    tokens: each as the vocabulary writes it.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors:
    """The vectors of one text; those that were not asked for are None.

    dense: float32 [dimension]. multi: float32 [tokens, dimension], each row of length 1.
    """

    dense: NDArray[np.float32] | None = None
    sparse: SparseWeights | None = None
    multi: NDArray[np.float32] | None = None


def greatest_weights(
    ids: NDArray[np.int32], weights: NDArray[np.float32], left_out: frozenset[int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each id once with its greatest weight, by falling weight, then by rising id; without `left_out` and weights of 0.

    ids, weights: int32 and float32 [n], one for each token, in any order.
    """
    kept = weights > 0.0
    if left_out:
        kept &= ~np.isin(ids, np.fromiter(left_out, np.int32, len(left_out)))
    ids, weights = ids[kept], weights[kept]
    order = np.lexsort((ids, -weights))
    ids, weights = ids[order], weights[order]
    first = np.sort(np.unique(ids, return_index=True)[1])
    return ids[first], weights[first]


def joined_rows(
    rows: Sequence[NDArray[np.float32]], windows: Sequence[Span], before: int
) -> NDArray[np.float32]:
    """The rows of a text's windows as those of one text: each token once, from the window whose border is farther away.

    rows: for each window float32 [tokens - 1, d], special tokens included but for the very first. before: special
    tokens that the tokenizer puts before a text, at least 1. Those after it are the last window's.
    """
    if len(rows) == 1:
        return rows[0]
    parts = []
    for number, (row, window) in enumerate(zip(rows, windows, strict=True)):
        last = number == len(rows) - 1
        start = 0 if number == 0 else before - 1 + _border(windows[number - 1], window) - window.start
        end = len(row) if last else before - 1 + _border(window, windows[number + 1]) - window.start
        parts.append(row[start:end])
    return np.concatenate(parts)


def _border(left: Span, right: Span) -> int:
    """The first token that the right one of two overlapping windows gives: the middle of what they share."""
    return right.start + (left.end - right.start) // 2
