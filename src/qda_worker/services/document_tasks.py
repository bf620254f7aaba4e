"""What is done with each document of a stream: one task for each model that was asked for.

A task asks its model's queue and makes its result with the same functions as the unary calls, so that both give the
same numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model_cache.catalogs.catalog import Task
from qda.v1 import analysis_pb2 as pb
from qda.v1 import embedding_pb2, entity_pb2, sentiment_pb2, text_pb2
from qda_worker.conversion import asked
from qda_worker.conversion.analysis_asked import AnalysisAsked, refuse_multi_vectors, within
from qda_worker.conversion.answers import fill_entities, fill_sentiment, results
from qda_worker.conversion.labels import check_labels
from qda_worker.conversion.vector_results import fill_vectors
from qda_worker.conversion.vectors_asked import require_able, vectors_asked
from qda_worker.errors import EncodingMissing, ModelDied, QueueFull
from qda_worker.fleet.fleet import Fleet, Serving
from qda_worker.models.base import ModelInfo, Options
from qda_worker.models.sentence_units import SentenceOptions
from qda_worker.scheduling.work import Failed, Lane, Outcome, Timings

Put = Callable[[pb.DocumentResult, text_pb2.Text, Outcome[Any]], None]
"""Writes one outcome into a document's result."""


@dataclass(frozen=True, slots=True)
class DocumentTask:
    """One model's part in each document's result.

    choose: who answers now; raises NotReady. serving: who answered when the stream began.
    """

    choose: Callable[[], Serving]
    serving: Serving
    options: Options
    put: Put

    async def ask(self, content: str, lane: Lane, caller: str) -> Outcome[Any]:
        """The model's outcome for one document. A full queue is waited for: that is what flow control is.

        No deadline: when the stream's own passes, its documents leave the queue by being cancelled.
        Raises NotReady where the model has died and is not back yet, and Draining.
        """
        while True:
            serving = self.serving if self.serving.engine.queue.healthy else self.choose()
            try:
                (outcome,) = await serving.engine.answer([content], self.options, lane, None, caller)
            except QueueFull as refusal:
                await asyncio.sleep(refusal.retry_after)
            except ModelDied as death:
                return Failed(death, Timings())
            else:
                return outcome


def document_tasks(
    settings: pb.AnalyzeDocumentsSettings, common: AnalysisAsked, fleet: Fleet
) -> list[DocumentTask]:
    """The tasks that the settings ask for: sentiment, entities, then vectors in their order.

    Raises InvalidRequest, TaskNotServed or NotReady.
    """
    tasks = []
    if settings.HasField("sentiment"):
        tasks.append(within("settings.sentiment", lambda: _sentiment(settings.sentiment, common, fleet)))
    if settings.HasField("entities"):
        tasks.append(within("settings.entities", lambda: _entities(settings.entities, common, fleet)))
    for index, wanted in enumerate(settings.embeddings):
        make = _vectors(wanted, common, fleet)
        tasks.append(within(f"settings.embeddings[{index}]", make))
    return tasks


def _sentiment(wanted: pb.SentimentTask, common: AnalysisAsked, fleet: Fleet) -> DocumentTask:
    encoding = common.encoding if wanted.include_sentences else None
    options = (SentenceOptions if wanted.include_sentences else Options)(common.long_text)

    def put_into(info: ModelInfo) -> Put:
        fill = fill_sentiment(info, encoding)

        def put(result: pb.DocumentResult, text: text_pb2.Text, outcome: Outcome[Any]) -> None:
            made = results([text], [outcome], info, sentiment_pb2.SentimentResult, fill)
            result.sentiment.CopyFrom(made[0])

        return put

    return _task(lambda: fleet.choose(wanted.model, Task.SENTIMENT), options, put_into)


def _entities(wanted: pb.EntityTask, common: AnalysisAsked, fleet: Fleet) -> DocumentTask:
    encoding = common.encoding
    if encoding is None:
        raise EncodingMissing("offset_encoding is not set")
    by_common_names = asked.common_labels(wanted.label_scheme)

    def put_into(info: ModelInfo) -> Put:
        labels = check_labels(wanted.labels, info.labels, common=by_common_names)
        fill = fill_entities(encoding, common=by_common_names, wanted=labels)

        def put(result: pb.DocumentResult, text: text_pb2.Text, outcome: Outcome[Any]) -> None:
            result.entities.CopyFrom(results([text], [outcome], info, entity_pb2.EntityResult, fill)[0])

        return put

    return _task(lambda: fleet.choose(wanted.model, Task.ENTITIES), Options(common.long_text), put_into)


def _vectors(wanted: pb.EmbeddingTask, common: AnalysisAsked, fleet: Fleet) -> Callable[[], DocumentTask]:
    def make() -> DocumentTask:
        refuse_multi_vectors(wanted.options)
        vectors = vectors_asked(wanted.options, common.long_text)
        fill = fill_vectors(vectors)

        def put_into(info: ModelInfo) -> Put:
            require_able(vectors, info)

            def put(result: pb.DocumentResult, text: text_pb2.Text, outcome: Outcome[Any]) -> None:
                made = results([text], [outcome], info, embedding_pb2.EmbedResult, fill)
                result.embeddings.append(made[0])

            return put

        return _task(lambda: fleet.choose(wanted.model, Task.EMBEDDING), vectors.options, put_into)

    return make


def _task(
    choose: Callable[[], Serving], options: Options, put_into: Callable[[ModelInfo], Put]
) -> DocumentTask:
    serving = choose()
    return DocumentTask(choose, serving, options, put_into(serving.engine.info))
