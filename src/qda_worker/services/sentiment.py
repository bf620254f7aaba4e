"""SentimentService: positive, negative or neutral."""

from __future__ import annotations

import time

from model_cache.catalog import Task
from qda.v1 import sentiment_pb2 as pb
from qda.v1 import sentiment_pb2_grpc
from qda_worker.conversion import asked
from qda_worker.conversion.answers import fill_sentiment, results
from qda_worker.conversion.told import provenance
from qda_worker.errors import NotServedYet
from qda_worker.fleet import Fleet
from qda_worker.models.base import Options
from qda_worker.scheduling.work import Lane
from qda_worker.services.asking import ask, built, call_timings
from qda_worker.services.boundary import Context


class SentimentService(sentiment_pb2_grpc.SentimentServiceServicer):
    """Answers with the fleet's sentiment models."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: Context
    ) -> pb.AnalyzeSentimentResponse:
        """The sentiment of each text."""
        began = time.monotonic()
        asked.check_texts(request.texts)
        options = Options(asked.long_text(request.long_text_policy))
        lane = asked.lane(request.priority, Lane.INTERACTIVE)
        if request.include_sentences:
            asked.offset_encoding(request.offset_encoding)
            raise NotServedYet(
                "this release answers whole texts, not each of their sentences",
                "send each sentence as a text of its own, or leave include_sentences out",
            )
        serving = self._fleet.choose(request.model, Task.SENTIMENT)
        info = serving.engine.info
        contents = [text.content for text in request.texts]
        outcomes = await ask(serving, contents, options, lane, context)
        answers = await built(
            contents, lambda: results(request.texts, outcomes, info, pb.SentimentResult, fill_sentiment)
        )
        return pb.AnalyzeSentimentResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
            offset_encoding=request.offset_encoding,
        )
