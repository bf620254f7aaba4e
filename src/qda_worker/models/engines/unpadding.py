"""Batches without their padding: what the graphs of OpenVINO read and return.

Products of matrices and normalization treat each token alone, so they need no padding. In arrival order, a fifth of a
batch of texts of 40 to 70 tokens is padding, and half of one of 8 to 128; sorted by length it is 3 to 7 %. Only
attention needs a row of places for each text. So the states of all tokens are the rows of one matrix. Attention gathers
the rows into places, and its results back into rows.

A matrix of a new number of rows needs kernels of its own: for all 12 layers of XLM-R base 8 to 30 ms, most in int8. So
numbers of rows are rounded up to _BITS significant bits.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

# 32 numbers between two powers of two, and on average one percent more rows. Up to 64 rows their number is exact: each
# more takes a short text 3 to 4 % longer.
_BITS: Final = 6

# The arrays of `UnpaddedBatch` behind the states.
_Layout: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]]


@dataclass(frozen=True, slots=True, eq=False)
class UnpaddedBatch:
    """The states of the tokens of a batch, and where the tokens are.

    Attributes:
        states: float32 [1, rows, width], the tokens of all texts; the last rows may repeat the first place. OpenVINO
            computes matrices of two dimensions in int8 more slowly, by 5 to 13 %.
        readable: bool [batch, 1, 1, tokens], False for padding.
        row_of_place: int32 [batch, tokens]; the first row for padding.
        place_of_row: int32 [rows], in the flattened batch.
    """

    states: NDArray[np.float32]
    readable: NDArray[np.bool_]
    row_of_place: NDArray[np.int32]
    place_of_row: NDArray[np.int32]

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """The inputs of a graph, in its order."""
        return (self.states, self.readable, self.row_of_place, self.place_of_row)


def unpad(states: torch.Tensor, mask: torch.Tensor | None) -> UnpaddedBatch:
    """Leave the padding out.

    Args:
        states: float32 [batch, tokens, width], on the CPU.
        mask: bool [batch, 1, any, tokens], False for padding; None: there is none.
    """
    texts, tokens, width = states.shape
    flat: NDArray[np.float32] = states.detach().contiguous().numpy().reshape(-1, width)
    if mask is None:
        readable, rows, places = _places_without_padding(texts, tokens)
    else:
        # Padding is the same for every token that reads, so one row is enough.
        readable, rows, places = _places(mask[:, 0, 0, :].contiguous().numpy())
    in_order = mask is None and len(places) == len(flat)
    packed = flat if in_order else flat[places]
    return UnpaddedBatch(packed[np.newaxis], readable, rows, places)


def _places(readable: NDArray[np.bool_]) -> _Layout:
    """Return the layout of a batch; `readable` is bool [batch, tokens]."""
    places = np.flatnonzero(readable).astype(np.int32)
    rows = np.zeros(readable.size, np.int32)
    rows[places] = np.arange(len(places), dtype=np.int32)
    step = 1 << max(0, len(places).bit_length() - _BITS)
    if len(places) % step:
        places = np.pad(places, (0, -len(places) % step))
    return readable[:, np.newaxis, np.newaxis, :], rows.reshape(readable.shape), places


# Kept for the lengths of single texts: behind a batch, which has displaced all else from the processor's caches, making
# these arrays takes a quarter of a millisecond.
@lru_cache(maxsize=128)
def _places_without_padding(texts: int, tokens: int) -> _Layout:
    return _places(np.ones((texts, tokens), np.bool_))
