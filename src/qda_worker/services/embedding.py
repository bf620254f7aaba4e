"""EmbeddingService: returns texts as vectors, in one response or as a stream.

Embed sends all vectors in one message. It refuses a request whose vectors might exceed the message limit before it
computes any. The size of dense vectors is known; that of sparse vectors and multi-vectors depends on the number of
tokens. Where the model's own limit of tokens does not already bound it, the texts are tokenized in a thread to count
them, and again when they are computed. Tokenizing takes about a hundredth of the time of computing.

EmbedStream computes its texts in batches, one batch ahead of the client (`_prefetch_one`). So it holds two batches at
most, however slowly the client reads, and computes nothing more until the client reads the next one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any, Final, TypeVar

from model_cache.catalog.catalog import Task
from qda.v1 import embedding_pb2 as pb
from qda.v1 import embedding_pb2_grpc
from qda_worker.conversion.embedding import (
    EmbeddingRequest,
    VectorSpec,
    build_embed,
    build_embed_stream_header,
    build_embed_stream_parts,
    build_embed_stream_trailer,
    check_response_size,
    check_supported,
    fits_response,
    max_result_bytes,
    parse_embed,
    parse_embed_stream,
)
from qda_worker.interceptors.base import Context
from qda_worker.models.base import LongText, VectorKind
from qda_worker.registry.registry import ModelRegistry, SelectedModel
from qda_worker.scheduling.jobs import Outcome, Timings
from qda_worker.services.inference import build_off_loop, infer, infer_part

# Texts in one batch of a stream: enough for good batches of the model.
_BATCH_TEXTS: Final = 128
# Bytes of multi-vectors in one batch of a stream, unless one text alone has more.
_BATCH_BYTES: Final = 32 * 2**20
# Texts that are tokenized at a time to count their tokens.
_COUNTED_TEXTS: Final = 16

_Item = TypeVar("_Item")


class EmbeddingService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Servicer of `qda.v1.EmbeddingService`; it uses the embedding and paraphrase models of `registry`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """Return the vectors of each text in one message."""
        started = time.monotonic()
        parsed = parse_embed(request)
        contents, options = parsed.texts.contents, parsed.vectors.options
        selected = self._registry.select(parsed.model, Task.EMBEDDING)
        check_supported(parsed.vectors, selected.engine.info)
        await _check_response_fits(selected, parsed)
        outcomes = await infer(selected, contents, options, parsed.lane, context)
        return await build_off_loop(contents, lambda: build_embed(parsed, outcomes, selected, started))

    async def EmbedStream(
        self, request: pb.EmbedStreamRequest, context: Context
    ) -> AsyncIterator[pb.EmbedStreamResponse]:
        """Yield the vectors of each text in parts. Computes one batch ahead of what the client has read."""
        started = time.monotonic()
        parsed = parse_embed_stream(request)
        selected = self._registry.select(parsed.model, Task.EMBEDDING)
        info = selected.engine.info
        check_supported(parsed.vectors, info)
        yield build_embed_stream_header(selected)
        timings: list[Timings] = []
        async with aclosing(_prefetch_one(_infer_batches(selected, parsed))) as batches:
            async for first, outcomes in batches:
                timings.extend(outcome.timings for outcome in outcomes)
                for index, outcome in enumerate(outcomes, first):
                    for part in build_embed_stream_parts(parsed, index, outcome, info):
                        yield part
        yield build_embed_stream_trailer(timings, started)


async def _check_response_fits(selected: SelectedModel, request: EmbeddingRequest) -> None:
    """Check that the vectors of all texts fit into one message.

    Raises:
        ArgumentInvalid: when they might not.
    """
    info, spec, contents = selected.engine.info, request.vectors, request.texts.contents
    size, count = request.texts.id_bytes, len(contents)
    if not spec.size_depends_on_tokens:
        check_response_size(size + count * max_result_bytes(0, spec, info), count)
        return
    if spec.options.long_text is not LongText.WINDOW and fits_response(
        size + count * max_result_bytes(info.max_length, spec, info)
    ):
        return
    for start in range(0, count, _COUNTED_TEXTS):
        token_counts = await _count_tokens(selected, contents[start : start + _COUNTED_TEXTS], spec)
        size += sum(max_result_bytes(token_count, spec, info) for token_count in token_counts)
        check_response_size(size, count)


async def _infer_batches(
    selected: SelectedModel, request: EmbeddingRequest
) -> AsyncGenerator[tuple[int, list[Outcome[Any]]]]:
    """Yield the outcomes of each batch, with the position of its first text."""
    contents, spec = request.texts.contents, request.vectors
    async for batch in _batch_slices(selected, contents, spec):
        yield batch.start, await infer_part(selected, contents[batch], spec.options, request.lane)


async def _batch_slices(
    selected: SelectedModel, contents: Sequence[str], spec: VectorSpec
) -> AsyncIterator[slice]:
    """Yield the slices of `contents` that form batches, bounded in texts and, for multi-vectors, in bytes."""
    if VectorKind.MULTI_VECTOR not in spec.kinds:
        for start, end in pairwise([*range(0, len(contents), _BATCH_TEXTS), len(contents)]):
            yield slice(start, end)
        return
    first, size = 0, 0
    for start in range(0, len(contents), _COUNTED_TEXTS):
        token_counts = await _count_tokens(selected, contents[start : start + _COUNTED_TEXTS], spec)
        for index, token_count in enumerate(token_counts, start):
            cost = max_result_bytes(token_count, spec, selected.engine.info)
            if index > first and (size + cost > _BATCH_BYTES or index - first == _BATCH_TEXTS):
                yield slice(first, index)
                first, size = index, 0
            size += cost
    yield slice(first, len(contents))


async def _count_tokens(selected: SelectedModel, contents: Sequence[str], spec: VectorSpec) -> list[int]:
    """Count the tokens of each text that the model will use, in a thread; 0 for a text that will fail."""

    def count() -> list[int]:
        return [_used_tokens(selected, content, spec) for content in contents]

    return await asyncio.to_thread(count)


def _used_tokens(selected: SelectedModel, content: str, spec: VectorSpec) -> int:
    try:
        return selected.engine.model.prepare(content, spec.options).used_length
    except Exception:  # noqa: BLE001  # the same error becomes the status of the text when it is computed
        return 0


async def _prefetch_one(items: AsyncGenerator[_Item]) -> AsyncGenerator[_Item]:
    """Yield `items`, producing each while the one before it is in use.

    A task of its own produces the next item, so at most two exist. Closing this generator early cancels that task and
    closes `items`.
    """
    next_item = _start_next(items)
    try:
        while True:
            try:
                item = await next_item
            except StopAsyncIteration:
                return
            next_item = _start_next(items)
            yield item
    finally:
        next_item.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await next_item
        await items.aclose()


def _start_next(items: AsyncGenerator[_Item]) -> asyncio.Task[_Item]:
    async def get_next() -> _Item:  # a task needs a coroutine, and anext() is only awaitable
        return await anext(items)

    return asyncio.create_task(get_next())
