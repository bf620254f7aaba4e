"""Tokenization with a length policy, safe for many threads and equal to the library's own `truncation=True`.

A fast tokenizer stores truncation and padding as settings of the shared object, and raises "Already borrowed" when one
thread changes them while another one encodes. So none are set here: every text is encoded to its end, without special
tokens, which also gives its true length. The cut is made on the ids, and the special tokens are added where the
tokenizer puts them. Long texts are encoded piece by piece (`text_pieces`); what is cut off is encoded last, and only
counted.

A text that is longer than its model reads is refused, cut, or split into overlapping windows (`choose_spans`).
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from qda_worker.errors import ModelUnusable, TextTooLong
from qda_worker.models.base import LongText, PreparedText, Unit, run_steps
from qda_worker.models.text_pieces import safe_blanks, split_pieces
from qda_worker.sentences.span import Span

if TYPE_CHECKING:
    import torch

# Windows overlap by an eighth of their length: 63 tokens of 510, the context of a long sentence. Our own choice.
OVERLAP_DIVISOR: Final = 8
# transformers writes "no limit" as a `model_max_length` of 10**30. Everything from here on counts as that.
_NO_LIMIT: Final = 10**9
# Text that is encoded to learn which special tokens the tokenizer adds.
_SAMPLE: Final = "a"

# The fast tokenizers that use a vocabulary, by its digest. That of XLM-R takes 0.6 GB, and two models of the default
# catalog have it.
_BACKENDS: Final[dict[bytes, WeakSet[Any]]] = {}
_BACKENDS_LOCK: Final = threading.Lock()

# Token ids of one window, special tokens included, int32 [length].
Ids: TypeAlias = NDArray[np.int32]

_NO_IDS: Final = np.empty(0, dtype=np.int32)


class TextTokenizer:
    """A transformers tokenizer for single texts, with the length limit of the model that reads them.

    Attributes:
        max_length: maximum number of tokens the model reads, special tokens included.
        max_token_bytes: UTF-8 bytes of the longest token of the vocabulary.
        pad_id: id of the padding token; 0 if the tokenizer has none.
        blanks: blanks before which a text may be cut into pieces; empty if it must be encoded whole.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Wrap a tokenizer.

        Args:
            tokenizer: a transformers tokenizer, fast or written in Python.
            max_length: maximum number of tokens the model reads, special tokens included.

        Raises:
            ModelUnusable: when the tokenizer has no vocabulary, changes a text while adding special tokens, or leaves
                no room for content.
        """
        # transformers 5 builds a tokenizer without vocabulary if the files are missing.
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise ModelUnusable(
                "its tokenizer has no vocabulary: tokenizer.json, vocab.txt or a similar file is missing",
                "run cache-check; does the catalog list the tokenizer's files?",
            )
        self._encode = _encoder(tokenizer)
        self.blanks = safe_blanks(tokenizer, lambda text: self._encode(text, False))
        self._ids_to_tokens: Callable[[list[int]], list[str]] = tokenizer.convert_ids_to_tokens
        self.max_token_bytes = max(len(token.encode(errors="replace")) for token in tokenizer.get_vocab())
        self._keep_end = tokenizer.truncation_side == "left"
        self._prefix, self._suffix = (np.array(ids, dtype=np.int32) for ids in self._special_tokens())
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.max_length = max_length
        self._max_content = max_length - len(self._prefix) - len(self._suffix)
        if self._max_content < 1:
            raise ModelUnusable(
                f"a limit of {max_length} tokens leaves no room between the tokenizer's special tokens",
                "raise serving.max_tokens in the catalog",
            )

    @property
    def prefix_length(self) -> int:
        """Number of special tokens before a text."""
        return len(self._prefix)

    @property
    def special_length(self) -> int:
        """Number of special tokens before and after a text."""
        return len(self._prefix) + len(self._suffix)

    def prompt_pooling_length(self, prompt: str) -> int:
        """Return how many tokens sentence-transformers leaves out of the pooling for a prompt (`prompt_length`)."""
        return len(self._encode(prompt, True)) - (1 if len(self._suffix) else 0)

    def tokens(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return tokens as the vocabulary writes them."""
        return tuple(self._ids_to_tokens(list(ids)))

    def prepare(self, text: str, policy: LongText) -> PreparedText[Ids]:
        """Tokenize a text and apply the length policy. Any thread may call this.

        Returns:
            One unit of ids, int32 [length], per window.

        Raises:
            TextTooLong: when the text exceeds the limit under the policy ERROR.
        """
        return run_steps(self.prepare_steps(split_pieces(text, self.blanks), policy))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text of any length, without special tokens. Any thread may call this."""
        return self._encode(text, False)

    def prepare_steps(
        self, pieces: Iterable[str], policy: LongText, prompt: Sequence[int] = ()
    ) -> Iterator[PreparedText[Ids] | None]:
        """Tokenize the pieces of a text, a step each, and apply the length policy. Any thread may call this.

        Args:
            pieces: what `split_pieces` cut at `blanks`, in text order.
            policy: what to do if the text is longer than the model reads.
            prompt: ids of the prompt that the first piece begins with, if there is one. Each window begins with it.
                The windows are parts of the text behind it; the lengths include it.

        Yields:
            None after a piece. The prepared text at the end; under the policy CUT also when the part that the model
            reads is known, with `counted` False.

        Raises:
            TextTooLong: when the text exceeds the limit under the policy ERROR.
        """
        kept: list[Ids] = []
        length = 0
        early: PreparedText[Ids] | None = None
        prefix, max_content = self._prefix, self._max_content
        for number, piece in enumerate(pieces):
            if number:
                yield None
            ids = np.array(self._encode(piece, False), dtype=np.int32)
            if prompt and not number:
                # The last token of a prompt may be joined with the first one of the text.
                count = _common_length(prompt, ids[: max_content - 1])
                prefix, ids = np.concatenate([prefix, ids[:count]], dtype=np.int32), ids[count:]
                max_content -= count
            length += len(ids)
            if early is not None:
                continue
            kept.append(ids)
            if length <= max_content or policy is LongText.WINDOW:
                continue
            if policy is LongText.ERROR:
                kept.clear()  # the text is refused, with its length
            elif self._keep_end:
                kept = [np.concatenate(kept)[-max_content:]]
            else:
                early = self._prepared(np.concatenate(kept), length, policy, prefix)
                yield replace(early, counted=False)
        if early is not None:
            yield replace(early, length=length + len(prefix) + len(self._suffix))
        else:
            yield self._prepared(np.concatenate([_NO_IDS, *kept]), length, policy, prefix)

    def _prepared(self, content: Ids, length: int, policy: LongText, prefix: Ids) -> PreparedText[Ids]:
        """Apply the length policy.

        Args:
            content: ids of the text; of a text that is cut, at least the part that is read, and of one that is refused
                any.
            length: number of ids of the whole text.
            policy: what to do if it is longer than the model reads.
            prefix: ids before each window: special tokens and the prompt.
        """
        special = len(prefix) + len(self._suffix)
        max_content = self.max_length - special
        spans = choose_spans(length, max_content, policy, special=special, keep_end=self._keep_end)
        left_out = length - len(content) if self._keep_end else 0
        used = max(span.end for span in spans) - min(span.start for span in spans)
        return PreparedText(
            units=tuple(
                self._unit(prefix, content[span.start - left_out : span.end - left_out]) for span in spans
            ),
            windows=spans,
            length=length + special,
            used_length=used + special,
        )

    def _unit(self, prefix: Ids, content: Ids) -> Unit[Ids]:
        ids = np.concatenate([prefix, content, self._suffix], dtype=np.int32)
        return Unit(ids, len(ids))

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """Return the ids that the tokenizer puts before and after a text."""
        whole, content = self._encode(_SAMPLE, True), self._encode(_SAMPLE, False)
        for start in range(len(whole) - len(content) + 1):
            if whole[start : start + len(content)] == content:
                return whole[:start], whole[start + len(content) :]
        raise ModelUnusable(
            "the tokenizer changes a text when it adds its special tokens",
            "use a model whose tokenizer puts special tokens only before and after the text",
        )


def choose_spans(
    length: int, max_content: int, policy: LongText, *, special: int = 0, keep_end: bool = False
) -> tuple[Span, ...]:
    """Return the spans of a text that the model reads.

    Args:
        length: content tokens of the text.
        max_content: maximum content tokens the model reads at once.
        policy: what to do if the text is longer.
        special: number of special tokens that the model adds; only the error message counts them.
        keep_end: CUT keeps the end of the text, as a tokenizer with `truncation_side="left"` does.

    Raises:
        TextTooLong: when the text is longer under the policy ERROR.
    """
    if length <= max_content:
        return (Span(0, length),)
    if policy is LongText.ERROR:
        raise TextTooLong(
            f"the text has {length + special} tokens and the model reads {max_content + special}"
        )
    if policy is LongText.WINDOW:
        return window_spans(length, max_content, window_overlap(max_content))
    return (Span(length - max_content, length),) if keep_end else (Span(0, max_content),)


def _common_length(prompt: Sequence[int], ids: Ids) -> int:
    """Return how many ids at the beginning of both are equal."""
    count = 0
    for left, right in zip(prompt, ids.tolist(), strict=False):
        if left != right:
            break
        count += 1
    return count


def window_overlap(window: int) -> int:
    """Return the number of tokens that a window of `window` tokens shares with the next one."""
    return window // OVERLAP_DIVISOR


def window_spans(length: int, window: int, overlap: int) -> tuple[Span, ...]:
    """Return spans of at most `window` tokens that cover 0..length.

    Each span begins `overlap` tokens before the end of the one before. These are the windows of the tokenizers
    library with `stride=overlap, return_overflowing_tokens=True`: all full except the last, which ends with the text
    and is longer than the overlap.

    Raises:
        ValueError: unless 0 <= overlap < window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"an overlap of {overlap} does not fit into windows of {window}")
    spans = [Span(0, min(window, length))]
    while spans[-1].end < length:
        start = spans[-1].end - overlap
        spans.append(Span(start, min(start + window, length)))
    return tuple(spans)


def weighted_mean(rows: Sequence[NDArray[np.float32]], weights: Sequence[int]) -> NDArray[np.float32]:
    """Return the mean of the windows' rows, weighted by the content tokens of each window.

    Args:
        rows: n arrays of one shape, float32. A single row is returned unchanged, bit for bit.
        weights: content tokens of each window.

    Returns:
        float32 of the same shape, summed in float64.
    """
    if len(rows) == 1:
        return rows[0]
    stacked = np.stack(rows).astype(np.float64)
    mean: NDArray[np.float32] = np.average(stacked, axis=0, weights=weights).astype(np.float32)
    return mean


def position_limit(network: Any) -> int | None:
    """Return how many tokens the position embeddings of a transformers network allow; None if unlimited.

    Networks of the RoBERTa family number positions from `padding_idx + 1` (transformers,
    `create_position_ids_from_input_ids`), so they read that many tokens fewer than `max_position_embeddings`.
    """
    limit = getattr(network.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 1:
        return None
    embeddings = getattr(network.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return limit if padding is None else limit - padding - 1


def token_limit(*limits: int | None) -> int:
    """Return the smallest of the limits that are set.

    Raises:
        ModelUnusable: when none is set.
    """
    known = [limit for limit in limits if limit is not None and limit < _NO_LIMIT]
    if not known:
        raise ModelUnusable(
            "neither its tokenizer nor its configuration says how many tokens it reads",
            "set serving.max_tokens in the catalog",
        )
    return min(known)


def pad_batch(
    rows: Sequence[Ids], pad_id: int, device: "torch.device"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return ids and attention mask of a batch, both int64 [rows, longest] on `device`, padded on the right."""
    import torch

    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


class _LockedEncoder:
    """Encoder for tokenizers written in Python, which are not documented as thread-safe."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()

    def __call__(self, text: str, special: bool) -> list[int]:
        with self._lock:
            encoded = self._tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)
        return list(encoded["input_ids"])


class _FastEncoder:
    """Encoder for tokenizers of the Rust library: encoding changes no state and runs in parallel."""

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        _share_vocabulary(backend)
        self._backend = backend

    def __call__(self, text: str, special: bool) -> list[int]:
        # Only the library's batch functions release the global interpreter lock: with `encode` a text of 2 MB stops
        # every thread for 1.3 s, with this for 10 ms (measured). The ids are the same; this leaves out the offsets.
        if self._backend.truncation is not None:  # left by a call of the library's tokenizer, which shares it
            self._backend.no_truncation()
        ids: list[int] = self._backend.encode_batch_fast([text], add_special_tokens=special)[0].ids
        return ids


def _share_vocabulary(backend: Any) -> None:
    """Let a backend use the vocabulary of an earlier one if both are equal. All other settings stay its own."""
    digest = hashlib.sha256(backend.model.__getstate__()).digest()
    with _BACKENDS_LOCK:
        users = _BACKENDS.setdefault(digest, WeakSet())
        earlier = next(iter(users), None)
        if earlier is not None:
            backend.model = earlier.model
        users.add(backend)


def _encoder(tokenizer: Any) -> _FastEncoder | _LockedEncoder:
    return _FastEncoder(tokenizer) if tokenizer.is_fast else _LockedEncoder(tokenizer)
