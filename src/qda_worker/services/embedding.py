"""EmbeddingService: texts as vectors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

from model_cache.catalog import Task
from qda.v1 import embedding_pb2 as pb
from qda.v1 import embedding_pb2_grpc, text_pb2
from qda_worker.conversion import asked
from qda_worker.conversion.answers import fill_dense, results
from qda_worker.conversion.told import provenance, timings
from qda_worker.conversion.vector_parts import parts_of
from qda_worker.conversion.vectors_asked import check_response_size, vectors_asked
from qda_worker.fleet import Fleet
from qda_worker.models.base import Options
from qda_worker.scheduling.work import Lane, Timings
from qda_worker.services.asking import ask, built, call_timings
from qda_worker.services.boundary import Context

STREAMED_AT_ONCE = 128
"""Texts of a stream that are in the queue at a time: enough for good batches, and a caller who does not read stops the
computing that soon."""


class EmbeddingService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers with the fleet's embedding and paraphrase models."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """The vector of each text, all in one message."""
        began = time.monotonic()
        asked.check_texts(request.texts)
        options = Options(asked.long_text(request.long_text_policy))
        lane = asked.lane(request.priority, Lane.INTERACTIVE)
        wanted = vectors_asked(request.options)
        serving = self._fleet.choose(request.model, Task.EMBEDDING)
        info = serving.engine.info
        ids = sum(len(text.id.encode()) for text in request.texts)
        check_response_size(len(request.texts), ids, info.dimension or 0, wanted.element_type)
        contents = [text.content for text in request.texts]
        outcomes = await ask(serving, contents, options, lane, context)
        fill = fill_dense(wanted.element_type, normalise=wanted.normalise)
        answers = await built(contents, lambda: results(request.texts, outcomes, info, pb.EmbedResult, fill))
        return pb.EmbedResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
        )

    async def EmbedStream(
        self, request: pb.EmbedStreamRequest, context: Context
    ) -> AsyncIterator[pb.EmbedStreamResponse]:
        """The same vectors in parts. What the caller does not read is not computed."""
        began = time.monotonic()
        asked.check_texts(request.texts)
        options = Options(asked.long_text(request.long_text_policy))
        lane = asked.lane(request.priority, Lane.BULK)
        wanted = vectors_asked(request.options)
        serving = self._fleet.choose(request.model, Task.EMBEDDING)
        info = serving.engine.info
        fill = fill_dense(wanted.element_type, normalise=wanted.normalise)
        yield pb.EmbedStreamResponse(header=pb.EmbedStreamHeader(provenance=provenance(serving)))
        spent: list[Timings] = []
        for start in range(0, len(request.texts), STREAMED_AT_ONCE):
            texts: Sequence[text_pb2.Text] = request.texts[start : start + STREAMED_AT_ONCE]
            outcomes = await ask(serving, [text.content for text in texts], options, lane, context)
            spent.extend(outcome.timings for outcome in outcomes)
            for index, result in enumerate(results(texts, outcomes, info, pb.EmbedResult, fill), start):
                for part in parts_of(index, result):
                    yield part
        total = timings(spent, time.monotonic() - began)
        yield pb.EmbedStreamResponse(trailer=pb.EmbedStreamTrailer(timings=total))
