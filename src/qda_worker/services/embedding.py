"""EmbeddingService: texts as vectors."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from model_cache.catalogs.catalog import Task
from qda.v1 import embedding_pb2 as pb
from qda.v1 import embedding_pb2_grpc, text_pb2
from qda_worker.conversion import asked
from qda_worker.conversion.answers import results
from qda_worker.conversion.told import provenance, timings
from qda_worker.conversion.vector_parts import parts_of
from qda_worker.conversion.vector_results import fill_vectors
from qda_worker.conversion.vectors_asked import VectorsAsked, require_able, vectors_asked
from qda_worker.fleet.fleet import Fleet, Serving
from qda_worker.scheduling.work import Lane, Outcome, Timings
from qda_worker.services.ahead import one_ahead
from qda_worker.services.asking import ask, built, call_timings
from qda_worker.services.boundary import Context
from qda_worker.services.measuring import require_response_to_fit, slices


class EmbeddingService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers with the fleet's embedding and paraphrase models."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """The vectors of each text, all in one message."""
        began = time.monotonic()
        lane = asked.lane(request.priority, Lane.INTERACTIVE)
        serving, wanted = self._asked(request)
        contents = [text.content for text in request.texts]
        ids = sum(len(text.id.encode()) for text in request.texts)
        await require_response_to_fit(serving, contents, ids, wanted)
        outcomes = await ask(serving, contents, wanted.options, lane, context)
        info = serving.engine.info
        answers = await built(
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
        lane = asked.lane(request.priority, Lane.BULK)
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
        asked.check_texts(request.texts)
        wanted = vectors_asked(request.options, asked.long_text(request.long_text_policy))
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
