"""The vectors of a text, and the options for them.

Plain values and numpy only, so that services can handle vectors without importing torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.base import Options, VectorKind
from qda_worker.sentences.span import Span

# Maximum tokens of one text that get a vector each: 128 MiB for 1,024 float32 numbers, held until its last window is
# computed.
MAX_MULTI_VECTOR_TOKENS: Final = 32_768

DENSE_ONLY: Final = frozenset({VectorKind.DENSE})


@dataclass(frozen=True, slots=True)
class VectorOptions(Options):
    """Options of a caller for the vectors of one text. The defaults match the model's own files.

    Attributes:
        kinds: kinds of vectors to return, all from one pass.
        dimension: leading numbers of the dense vector to keep; None for all.
        normalize: scale the dense vector to length 1, even if the model does not.
        prompt_name: name of the prompt to put before the text; empty for the model's default.
    """

    kinds: frozenset[VectorKind] = DENSE_ONLY
    dimension: int | None = None
    normalize: bool = False
    prompt_name: str = ""


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to one truth value
class SparseWeights:
    """Weights of a text's tokens, by descending weight, then by ascending id.

    Attributes:
        ids: token ids, int32 [n], each once.
        weights: float32 [n], all above 0.
        tokens: each token as the vocabulary writes it.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors:
    """The vectors of one text. Kinds that were not requested are None.

    Attributes:
        dense: float32 [dimension].
        sparse: weights of the tokens.
        multi: float32 [tokens, dimension], each row of length 1.
    """

    dense: NDArray[np.float32] | None = None
    sparse: SparseWeights | None = None
    multi: NDArray[np.float32] | None = None


def max_weights(
    ids: NDArray[np.int32], weights: NDArray[np.float32], excluded: frozenset[int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return each token id once with its greatest weight.

    As in bge-m3's reference code (FlagEmbedding, BGEM3FlagModel), a token that occurs several times counts with its
    greatest weight.

    Args:
        ids: int32 [n], one for each token, in any order.
        weights: float32 [n].
        excluded: ids to leave out. Weights of 0 are left out too.

    Returns:
        ids int32 [m] and weights float32 [m], by descending weight, then by ascending id.
    """
    kept = weights > 0.0
    if excluded:
        kept &= ~np.isin(ids, np.fromiter(excluded, np.int32, len(excluded)))
    ids, weights = ids[kept], weights[kept]
    order = np.lexsort((ids, -weights))
    ids, weights = ids[order], weights[order]
    first = np.sort(np.unique(ids, return_index=True)[1])
    return ids[first], weights[first]


def join_window_rows(
    rows: Sequence[NDArray[np.float32]], windows: Sequence[Span], prefix_length: int
) -> NDArray[np.float32]:
    """Join the token rows of a text's windows, each token once.

    A token that two windows share is taken from the window whose border is farther away: it has more context there.

    Args:
        rows: for each window float32 [tokens - 1, d]: special tokens included, except the very first one.
        windows: the content tokens that each window covers.
        prefix_length: number of special tokens that the tokenizer puts before a text, at least 1. Special tokens after
            the text are taken from the last window.

    Returns:
        float32 [tokens of the text - 1, d].
    """
    if len(rows) == 1:
        return rows[0]
    parts = []
    for number, (row, window) in enumerate(zip(rows, windows, strict=True)):
        last = number == len(rows) - 1
        start = 0 if number == 0 else prefix_length - 1 + _split(windows[number - 1], window) - window.start
        end = len(row) if last else prefix_length - 1 + _split(window, windows[number + 1]) - window.start
        parts.append(row[start:end])
    return np.concatenate(parts)


def _split(left: Span, right: Span) -> int:
    """Return the first token that is taken from the right one of two overlapping windows: the middle of the overlap."""
    return right.start + (left.end - right.start) // 2
