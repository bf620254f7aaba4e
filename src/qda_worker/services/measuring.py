"""How much the vectors of texts will take, known before anything is computed.

The size of sparse weights and multi-vectors goes by tokens. What the model's limit alone cannot answer is counted:
texts are tokenised in a thread, and once more when they are computed, which takes a hundredth of the computing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Final

from qda_worker.conversion.vector_sizes import fits, needs_tokens, require_fitting, result_bytes
from qda_worker.conversion.vectors_asked import VectorsAsked
from qda_worker.fleet.fleet import Serving
from qda_worker.models.base import LongText, VectorKind

STREAMED_AT_ONCE: Final = 128
"""Texts of a stream that are computed at a time: enough for good batches."""
STREAMED_BYTES: Final = 32 * 2**20
"""The same in bytes of multi-vectors, unless one text alone has more. As much again waits to be sent."""
_AT_ONCE: Final = 16
"""Texts that are tokenised before it is looked whether that is enough."""


async def require_response_to_fit(
    serving: Serving, contents: Sequence[str], id_bytes: int, asked: VectorsAsked
) -> None:
    """Raises ArgumentInvalid where the vectors of these texts could pass the limit of a message."""
    info = serving.engine.info
    texts = len(contents)
    if not needs_tokens(asked):
        require_fitting(id_bytes + texts * result_bytes(0, asked, info), texts)
        return
    if asked.options.long_text is not LongText.WINDOW:
        most = id_bytes + texts * result_bytes(info.max_length, asked, info)
        if fits(most):
            return
    size = id_bytes
    for start in range(0, texts, _AT_ONCE):
        counts = await _tokens(serving, contents[start : start + _AT_ONCE], asked)
        size += sum(result_bytes(count, asked, info) for count in counts)
        require_fitting(size, texts)


async def slices(serving: Serving, contents: Sequence[str], asked: VectorsAsked) -> AsyncIterator[slice]:
    """Successive parts of the texts, each small enough to be computed and held at a time; together all of them."""
    if VectorKind.MULTI_VECTOR not in asked.kinds:
        for start, end in pairwise([*range(0, len(contents), STREAMED_AT_ONCE), len(contents)]):
            yield slice(start, end)
        return
    first, size = 0, 0
    for start in range(0, len(contents), _AT_ONCE):
        counts = await _tokens(serving, contents[start : start + _AT_ONCE], asked)
        for number, count in enumerate(counts, start):
            cost = result_bytes(count, asked, serving.engine.info)
            if number > first and (size + cost > STREAMED_BYTES or number - first == STREAMED_AT_ONCE):
                yield slice(first, number)
                first, size = number, 0
            size += cost
    yield slice(first, len(contents))


async def _tokens(serving: Serving, contents: Sequence[str], asked: VectorsAsked) -> list[int]:
    """How many tokens of each text will be used; 0 for one that will be its own error."""

    def count() -> list[int]:
        return [_used(serving, content, asked) for content in contents]

    return await asyncio.to_thread(count)


def _used(serving: Serving, content: str, asked: VectorsAsked) -> int:
    try:
        return serving.engine.model.prepare(content, asked.options).used_length
    except Exception:  # noqa: BLE001  # it is told when the text is computed
        return 0
