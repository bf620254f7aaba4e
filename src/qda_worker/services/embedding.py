"""EmbeddingService: texts as vectors.

How much the vectors of texts will take, known before anything is computed.

The size of sparse weights and multi-vectors goes by tokens. What the model's limit alone cannot answer is counted:
texts are tokenised in a thread, and once more when they are computed, which takes a hundredth of the computing.

Making the next thing while the last one is used: one step ahead, and never more.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any, Final, TypeVar

from model_cache.catalog.catalog import Task
from qda.v1 import embedding_pb2 as pb
from qda.v1 import embedding_pb2_grpc, text_pb2
from qda_worker.conversion import request_fields
from qda_worker.conversion.embedding import (
    VectorsAsked,
    fill_vectors,
    fits,
    needs_tokens,
    parts_of,
    require_able,
    require_fitting,
    result_bytes,
    vectors_asked,
)
from qda_worker.conversion.metadata import provenance, timings
from qda_worker.conversion.results import results
from qda_worker.interceptors.errors import Context
from qda_worker.models.base import LongText, VectorKind
from qda_worker.registry.registry import ModelRegistry, Serving
from qda_worker.scheduling.jobs import Lane, Outcome, Timings
from qda_worker.services.inference import ask, build_off_loop, call_timings

# Texts of a stream that are computed at a time: enough for good batches.
STREAMED_AT_ONCE: Final = 128
# The same in bytes of multi-vectors, unless one text alone has more. As much again waits to be sent.
STREAMED_BYTES: Final = 32 * 2**20
# Texts that are tokenised before it is looked whether that is enough.
_AT_ONCE: Final = 16


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


Made = TypeVar("Made")


async def one_ahead(made: AsyncGenerator[Made]) -> AsyncGenerator[Made]:
    """What `made` makes, each while the one before it is in use.

    So two are held at most, however slowly they are taken. Ending early cancels the one that is being made.
    """
    being_made = _next(made)
    try:
        while True:
            try:
                done = await being_made
            except StopAsyncIteration:
                return
            being_made = _next(made)
            yield done
    finally:
        being_made.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await being_made
        await made.aclose()


def _next(made: AsyncGenerator[Made]) -> asyncio.Task[Made]:
    return asyncio.ensure_future(_anext(made))


async def _anext(made: AsyncGenerator[Made]) -> Made:
    return await anext(made)


class EmbeddingService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers with the fleet's embedding and paraphrase models."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self._fleet = fleet

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """The vectors of each text, all in one message."""
        began = time.monotonic()
        lane = request_fields.lane(request.priority, Lane.INTERACTIVE)
        serving, wanted = self._asked(request)
        contents = [text.content for text in request.texts]
        ids = sum(len(text.id.encode()) for text in request.texts)
        await require_response_to_fit(serving, contents, ids, wanted)
        outcomes = await ask(serving, contents, wanted.options, lane, context)
        info = serving.engine.info
        answers = await build_off_loop(
            contents, lambda: results(request.texts, outcomes, info, pb.EmbedResult, fill_vectors(wanted))
        )
        return pb.EmbedResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
        )

    async def EmbedStream(
        self, request: pb.EmbedStreamRequest, context: Context
    ) -> AsyncIterator[pb.EmbedStreamResponse]:
        """The same vectors in parts. What the caller does not read is not computed, but for the next few texts."""
        began = time.monotonic()
        lane = request_fields.lane(request.priority, Lane.BULK)
        serving, wanted = self._asked(request)
        info = serving.engine.info
        yield pb.EmbedStreamResponse(header=pb.EmbedStreamHeader(provenance=provenance(serving)))
        spent: list[Timings] = []
        computing = _computed(serving, request.texts, wanted, lane, context)
        async with aclosing(one_ahead(computing)) as computed:
            async for start, outcomes in computed:
                spent.extend(outcome.timings for outcome in outcomes)
                for index, outcome in enumerate(outcomes, start):
                    for part in parts_of(index, request.texts[index], outcome, info, wanted):
                        yield part
        total = timings(spent, time.monotonic() - began)
        yield pb.EmbedStreamResponse(trailer=pb.EmbedStreamTrailer(timings=total))

    def _asked(self, request: pb.EmbedRequest | pb.EmbedStreamRequest) -> tuple[Serving, VectorsAsked]:
        """Who answers, and what is wanted of it. Raises InvalidRequest, TaskNotServed or NotReady."""
        request_fields.check_texts(request.texts)
        wanted = vectors_asked(request.options, request_fields.long_text(request.long_text_policy))
        serving = self._fleet.choose(request.model, Task.EMBEDDING)
        require_able(wanted, serving.engine.info)
        return serving, wanted


async def _computed(
    serving: Serving, texts: Sequence[text_pb2.Text], wanted: VectorsAsked, lane: Lane, context: Context
) -> AsyncGenerator[tuple[int, list[Outcome[Any]]]]:
    """The outcomes of some texts at a time, with the position of the first of them."""
    contents = [text.content for text in texts]
    async for part in slices(serving, contents, wanted):
        yield part.start, await ask(serving, contents[part], wanted.options, lane, context)
