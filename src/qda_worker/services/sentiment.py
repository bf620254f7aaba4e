"""SentimentService: positive, negative or neutral.

Whether the sentences of a request's texts are few enough to be answered.

A text of 16 MB may have millions, whose results would pass no message limit: that is told before anything is computed.
"""

import time
from collections.abc import Sequence
from typing import Final

from model_cache.catalog.catalog import Task
from qda.v1 import sentiment_pb2 as pb
from qda.v1 import sentiment_pb2_grpc
from qda_worker.conversion import request_fields
from qda_worker.conversion.metadata import provenance
from qda_worker.conversion.results import fill_sentiment, results
from qda_worker.errors import TooManyTexts, Violation
from qda_worker.interceptors.errors import Context
from qda_worker.limits import MAX_SENTENCES
from qda_worker.models.base import Options
from qda_worker.models.german_sentences import sentence_spans
from qda_worker.models.sentence_units import SentenceOptions
from qda_worker.registry.registry import ModelRegistry
from qda_worker.scheduling.jobs import Lane
from qda_worker.services.inference import ask, build_off_loop, call_timings

# Each sentence but the last holds one of these or is followed by one.
_ENDS: Final = ".!?…\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def check_sentences(contents: Sequence[str], most: int = MAX_SENTENCES) -> None:
    """Raises TooManyTexts. May take a second for each MB of texts that come near the limit."""
    if sum(1 + sum(map(content.count, _ENDS)) for content in contents) <= most:
        return
    count = sum(len(sentence_spans(content)) for content in contents)
    if count > most:
        raise TooManyTexts(
            f"the texts have {count} sentences, and at most {most} are answered at once",
            "send the texts in several requests, or leave include_sentences out",
            violations=[Violation("texts", f"hold {count} sentences; at most {most}")],
        )


class SentimentService(sentiment_pb2_grpc.SentimentServiceServicer):
    """Answers with the fleet's sentiment models."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self._fleet = fleet

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: Context
    ) -> pb.AnalyzeSentimentResponse:
        """The sentiment of each text, and of its sentences if they are asked for."""
        began = time.monotonic()
        request_fields.check_texts(request.texts)
        wanted = request.include_sentences
        encoding = request_fields.offset_encoding(request.offset_encoding) if wanted else None
        options = (SentenceOptions if wanted else Options)(request_fields.long_text(request.long_text_policy))
        lane = request_fields.lane(request.priority, Lane.INTERACTIVE)
        serving = self._fleet.choose(request.model, Task.SENTIMENT)
        info = serving.engine.info
        contents = [text.content for text in request.texts]
        if wanted:
            await build_off_loop(contents, lambda: check_sentences(contents))
        outcomes = await ask(serving, contents, options, lane, context)
        fill = fill_sentiment(info, encoding)
        answers = await build_off_loop(
            contents, lambda: results(request.texts, outcomes, info, pb.SentimentResult, fill)
        )
        return pb.AnalyzeSentimentResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
            offset_encoding=request.offset_encoding,
        )
