"""EmbeddingService: returns texts as vectors, in one response or as a stream.

Embed sends all vectors in one message. It refuses a request whose vectors might exceed the message limit before it
computes any. The size of dense vectors is known; that of sparse vectors and multi-vectors depends on the number of
tokens. Where the model's own limit of tokens does not already bound it, the texts are tokenized in a thread before they
are submitted, and go to the queue with their tokens.

EmbedStream computes its texts in parts (`inference.infer_parts`). It holds about a thousand texts at most, however
slowly the client reads, and computes nothing more until the client reads the next ones. Parts with multi-vectors are
smaller, and hold 64 MiB together.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

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
from qda_worker.scheduling.jobs import PreparedAhead, Timings
from qda_worker.scheduling.tokenizer_pool import prepare_ahead
from qda_worker.services.inference import (
    PART_TEXTS,
    TextPart,
    build_off_loop,
    infer,
    infer_parts,
    split_parts,
)

# Bytes of multi-vectors in one part of a stream, unless one text alone has more.
_PART_BYTES: Final = 8 * 2**20
# Texts that are tokenized at a time to count their tokens.
_COUNTED_TEXTS: Final = 16


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
        prepared = await _check_response_fits(selected, parsed)
        outcomes = await infer(selected, contents, options, parsed.lane, context, prepared)
        return await build_off_loop(contents, lambda: build_embed(parsed, outcomes, selected, started))

    async def EmbedStream(
        self, request: pb.EmbedStreamRequest, context: Context
    ) -> AsyncIterator[pb.EmbedStreamResponse]:
        """Yield the vectors of each text in parts. What the client does not read is not computed."""
        started = time.monotonic()
        parsed = parse_embed_stream(request)
        selected = self._registry.select(parsed.model, Task.EMBEDDING)
        info = selected.engine.info
        check_supported(parsed.vectors, info)
        yield build_embed_stream_header(parsed, selected)
        timings: list[Timings] = []
        parts = infer_parts(selected, _split(selected, parsed), parsed.vectors.options, parsed.lane)
        async with aclosing(parts):
            async for outcomes in parts:
                first = len(timings)
                timings.extend(outcome.timings for outcome in outcomes)
                for index, outcome in enumerate(outcomes, first):
                    for part in build_embed_stream_parts(parsed, index, outcome, info):
                        yield part
        yield build_embed_stream_trailer(timings, started)


async def _check_response_fits(selected: SelectedModel, request: EmbeddingRequest) -> Sequence[PreparedAhead]:
    """Check that the vectors of all texts fit into one message.

    Returns:
        The prepared texts if their tokens had to be counted, otherwise nothing.

    Raises:
        ArgumentInvalid: when they might not.
    """
    info, spec, contents = selected.engine.info, request.vectors, request.texts.contents
    size, count = request.texts.id_bytes, len(contents)
    if not spec.size_depends_on_tokens:
        check_response_size(size + count * max_result_bytes(0, spec, info), count)
        return ()
    if spec.options.long_text is not LongText.WINDOW and fits_response(
        size + count * max_result_bytes(info.max_length, spec, info)
    ):
        return ()
    prepared: list[PreparedAhead] = []
    async for ahead in _prepare_texts(selected, contents, spec):
        prepared.append(ahead)
        size += max_result_bytes(ahead.used_length, spec, info)
        check_response_size(size, count)
    return prepared


async def _split(selected: SelectedModel, request: EmbeddingRequest) -> AsyncIterator[TextPart]:
    """Yield the parts of a stream, bounded in texts and, for multi-vectors, in bytes of their results."""
    contents, spec = request.texts.contents, request.vectors
    if VectorKind.MULTI_VECTOR not in spec.kinds:
        async for part in split_parts(contents):
            yield part
        return
    first, size = 0, 0
    prepared: list[PreparedAhead] = []
    async for ahead in _prepare_texts(selected, contents, spec):
        cost = max_result_bytes(ahead.used_length, spec, selected.engine.info)
        if prepared and (size + cost > _PART_BYTES or len(prepared) == PART_TEXTS):
            yield TextPart(contents[first : first + len(prepared)], size, tuple(prepared))
            first, size = first + len(prepared), 0
            prepared.clear()
        prepared.append(ahead)
        size += cost
    yield TextPart(contents[first:], size, tuple(prepared))


async def _prepare_texts(
    selected: SelectedModel, contents: Sequence[str], spec: VectorSpec
) -> AsyncIterator[PreparedAhead]:
    """Yield each text as the model's queue would prepare it, in a thread; equal ones are prepared once."""
    model, by_text = selected.engine.model, dict[str, PreparedAhead]()

    def prepare(texts: Sequence[str]) -> None:
        for text in texts:
            if text not in by_text:
                by_text[text] = prepare_ahead(model, text, spec.options)

    for start in range(0, len(contents), _COUNTED_TEXTS):
        some = contents[start : start + _COUNTED_TEXTS]
        await asyncio.to_thread(prepare, some)
        for text in some:
            yield by_text[text]
