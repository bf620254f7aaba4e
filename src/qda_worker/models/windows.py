"""What to do with a text that is longer than its model reads: refuse, cut, or read it in overlapping windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qda_worker.errors import TextTooLong
from qda_worker.models.base import LongText, Span

OVERLAP_DIVISOR = 8
"""Windows overlap by an eighth of their length: 63 tokens of 510, a long sentence's worth of context. Our choice."""


def overlap_of(room: int) -> int:
    """Tokens that one window shares with the next, for windows of `room` tokens."""
    return room // OVERLAP_DIVISOR


def window_spans(length: int, room: int, overlap: int) -> tuple[Span, ...]:
    """Spans of at most `room` that cover 0..length, each beginning `overlap` before the end of the one before.

    The same windows as the tokenizers library's `stride=overlap, return_overflowing_tokens=True`: all full but the
    last, which ends where the text ends and is longer than the overlap. Raises ValueError unless 0 <= overlap < room.
    """
    if not 0 <= overlap < room:
        raise ValueError(f"an overlap of {overlap} does not fit into windows of {room}")
    spans = [Span(0, min(room, length))]
    while spans[-1].end < length:
        start = spans[-1].end - overlap
        spans.append(Span(start, min(start + room, length)))
    return tuple(spans)


def choose_spans(
    length: int, room: int, policy: LongText, *, special: int = 0, from_the_end: bool = False
) -> tuple[Span, ...]:
    """The spans of a text of `length` content tokens that a model with `room` for content tokens reads.

    special: how many special tokens the model adds; they count in what the error says.
    from_the_end: CUT keeps the end, as a tokenizer with `truncation_side="left"` does.
    Raises TextTooLong under the policy ERROR.
    """
    if length <= room:
        return (Span(0, length),)
    if policy is LongText.ERROR:
        raise TextTooLong(f"the text has {length + special} tokens and the model reads {room + special}")
    if policy is LongText.WINDOW:
        return window_spans(length, room, overlap_of(room))
    return (Span(length - room, length),) if from_the_end else (Span(0, room),)


def weighted_mean(rows: Sequence[NDArray[np.float32]], weights: Sequence[int]) -> NDArray[np.float32]:
    """The mean of the windows' rows, each weighted by the content tokens of its window.

    rows: n arrays of one shape, float32. One row comes back as it is, bit for bit. Sums run in float64.
    """
    if len(rows) == 1:
        return rows[0]
    stacked = np.stack(rows).astype(np.float64)
    mean: NDArray[np.float32] = np.average(stacked, axis=0, weights=weights).astype(np.float32)
    return mean
