"""SentimentService: classifies texts, and their sentences if requested, as positive, negative or neutral."""

import time

from model_cache.catalog.catalog import Task
from qda.v1 import sentiment_pb2 as pb
from qda.v1 import sentiment_pb2_grpc
from qda_worker.conversion.sentiment import (
    build_analyze_sentiment,
    check_sentence_count,
    parse_analyze_sentiment,
)
from qda_worker.interceptors.base import Context
from qda_worker.registry.registry import ModelRegistry
from qda_worker.services.inference import build_off_loop, infer


class SentimentService(sentiment_pb2_grpc.SentimentServiceServicer):
    """Servicer of `qda.v1.SentimentService`; it uses the sentiment models of `registry`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def AnalyzeSentiment(
        self, request: pb.AnalyzeSentimentRequest, context: Context
    ) -> pb.AnalyzeSentimentResponse:
        """Return the sentiment of each text, and of its sentences if the request includes them."""
        started = time.monotonic()
        parsed = parse_analyze_sentiment(request)
        contents = parsed.texts.contents
        selected = self._registry.select(parsed.model, Task.SENTIMENT)
        if parsed.span_encoding is not None:
            await build_off_loop(contents, lambda: check_sentence_count(contents))
        outcomes = await infer(selected, contents, parsed.options, parsed.lane, context)
        return await build_off_loop(
            contents, lambda: build_analyze_sentiment(parsed, outcomes, selected, started)
        )
