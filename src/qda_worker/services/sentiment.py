"""SentimentService: positive, negative or neutral."""

from __future__ import annotations

import time

from model_cache.catalogs.catalog import Task
from qda.v1 import sentiment_pb2 as pb
from qda.v1 import sentiment_pb2_grpc
from qda_worker.conversion import asked
from qda_worker.conversion.answers import fill_sentiment, results
from qda_worker.conversion.sentences_asked import check_sentences
from qda_worker.conversion.told import provenance
from qda_worker.fleet.fleet import Fleet
from qda_worker.models.base import Options
from qda_worker.models.sentence_units import SentenceOptions
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
        """The sentiment of each text, and of its sentences if they are asked for."""
        began = time.monotonic()
        asked.check_texts(request.texts)
        wanted = request.include_sentences
        encoding = asked.offset_encoding(request.offset_encoding) if wanted else None
        options = (SentenceOptions if wanted else Options)(asked.long_text(request.long_text_policy))
        lane = asked.lane(request.priority, Lane.INTERACTIVE)
        serving = self._fleet.choose(request.model, Task.SENTIMENT)
        info = serving.engine.info
        contents = [text.content for text in request.texts]
        if wanted:
            await built(contents, lambda: check_sentences(contents))
        outcomes = await ask(serving, contents, options, lane, context)
        fill = fill_sentiment(info, encoding)
        answers = await built(
            contents, lambda: results(request.texts, outcomes, info, pb.SentimentResult, fill)
        )
        return pb.AnalyzeSentimentResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
            offset_encoding=request.offset_encoding,
        )
