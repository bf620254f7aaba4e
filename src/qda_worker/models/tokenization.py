"""Tokenising that many threads may do at once, equal to the library's own `truncation=True`.

A fast tokenizer keeps truncation and padding as settings of the shared object, and refuses ("Already borrowed") when
one thread changes them while another encodes. So none are set here: texts are encoded whole, which also tells their
true length, and the cut is made on the ids, with the special tokens where the tokenizer puts them.

What to do with a text that is longer than its model reads: refuse, cut, or read it in overlapping windows.
"""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qda_worker.errors import ModelUnusable, TextTooLong
from qda_worker.models.base import LongText, Prepared, Span, Unit

if TYPE_CHECKING:
    import torch

# Windows overlap by an eighth of their length: 63 tokens of 510, a long sentence's worth of context. Our
# choice.
OVERLAP_DIVISOR: Final = 8


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


# Token ids of one window, special tokens included, int32 [length].
Ids: TypeAlias = NDArray[np.int32]

_PROBE: Final = "a"

# transformers says "no limit" by a `model_max_length` of 10**30.
_NO_LIMIT: Final = 10**9


class Tokens:
    """A transformers tokenizer of one-text inputs, with the limit of the model that reads them.

    max_length: the most tokens the model reads, special tokens included. longest_token: bytes of the longest token of
    the vocabulary, in UTF-8.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        if len(tokenizer) <= len(
            tokenizer.all_special_tokens
        ):  # transformers 5 builds an empty one without its files
            raise ModelUnusable(
                "its tokenizer has no vocabulary: tokenizer.json, vocab.txt or its like is missing",
                "run cache-check; does the catalog list the tokenizer's files?",
            )
        self._encode = _encoder(tokenizer)
        self._spell: Callable[[list[int]], list[str]] = tokenizer.convert_ids_to_tokens
        self.longest_token = max(len(token.encode(errors="replace")) for token in tokenizer.get_vocab())
        self._from_the_end = tokenizer.truncation_side == "left"
        self._prefix, self._suffix = self._special_tokens()
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.max_length = max_length
        self._room = max_length - len(self._prefix) - len(self._suffix)
        if self._room < 1:
            raise ModelUnusable(
                f"a limit of {max_length} tokens leaves no room between the tokenizer's special tokens",
                "raise serving.max_tokens in the catalog",
            )

    @property
    def special_before(self) -> int:
        """How many special tokens stand before a text."""
        return len(self._prefix)

    def spelled(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Tokens as the vocabulary writes them."""
        return tuple(self._spell(list(ids)))

    def prepare(self, text: str, policy: LongText) -> Prepared[Ids]:
        """The ids of each window of `text`. Raises TextTooLong under the policy ERROR."""
        content = self._encode(text, False)
        special = len(self._prefix) + len(self._suffix)
        spans = choose_spans(
            len(content), self._room, policy, special=special, from_the_end=self._from_the_end
        )
        used = max(span.end for span in spans) - min(span.start for span in spans)
        return Prepared(
            units=tuple(self._unit(content[span.start : span.end]) for span in spans),
            windows=spans,
            length=len(content) + special,
            used_length=used + special,
        )

    def _unit(self, content: Sequence[int]) -> Unit[Ids]:
        ids = np.array([*self._prefix, *content, *self._suffix], dtype=np.int32)
        return Unit(ids, len(ids))

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text."""
        whole, content = self._encode(_PROBE, True), self._encode(_PROBE, False)
        for start in range(len(whole) - len(content) + 1):
            if whole[start : start + len(content)] == content:
                return whole[:start], whole[start + len(content) :]
        raise ModelUnusable(
            "the tokenizer changes a text when it adds its special tokens",
            "use a model whose tokenizer puts special tokens only before and after the text",
        )


class _LockedEncoder:
    """For tokenizers written in Python, which promise nothing about threads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()

    def __call__(self, text: str, special: bool) -> list[int]:
        with self._lock:
            encoded = self._tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)
        return list(encoded["input_ids"])


class _FastEncoder:
    """For tokenizers of the Rust library: encoding changes nothing and lets other threads run."""

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()

    def __call__(self, text: str, special: bool) -> list[int]:
        # Of the library's ways to encode, those for batches alone let go of Python's lock: with `encode` a text of 2 MB
        # stops every thread for 1.3 s (measured), with this for 10 ms. Same ids; offsets, unused here, are left out.
        ids: list[int] = self._backend.encode_batch_fast([text], add_special_tokens=special)[0].ids
        return ids


def _encoder(tokenizer: Any) -> _FastEncoder | _LockedEncoder:
    return _FastEncoder(tokenizer) if tokenizer.is_fast else _LockedEncoder(tokenizer)


def position_limit(network: Any) -> int | None:
    """How many positions a transformers network has for tokens; None if it sets no limit.

    Networks of the RoBERTa family count positions from `padding_idx + 1`, so they read that many tokens fewer than
    `max_position_embeddings` says.
    """
    limit = getattr(network.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 1:
        return None
    embeddings = getattr(network.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return limit if padding is None else limit - padding - 1


def token_limit(*limits: int | None) -> int:
    """The smallest of the limits that are set. Raises ModelUnusable if none is."""
    known = [limit for limit in limits if limit is not None and limit < _NO_LIMIT]
    if not known:
        raise ModelUnusable(
            "neither its tokenizer nor its configuration says how many tokens it reads",
            "set serving.max_tokens in the catalog",
        )
    return min(known)


def pad(rows: Sequence[Ids], pad_id: int, device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor]":
    """One batch: ids and attention mask, both int64 [rows, longest], padded on the right."""
    import torch

    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
