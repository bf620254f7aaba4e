"""AnalysisService: several tasks on a stream of documents, in their order and in constant memory.

What is done with each document of a stream: one task for each model that was asked for.

A task asks its model's queue and makes its result with the same functions as the unary calls, so that both give the
same numbers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

from model_cache.catalog.catalog import Task
from qda.v1 import analysis_pb2 as pb
from qda.v1 import analysis_pb2_grpc, embedding_pb2, entity_pb2, sentiment_pb2, text_pb2
from qda_worker.conversion import request_fields
from qda_worker.conversion.analysis import (
    AnalysisAsked,
    analysis_asked,
    document_of,
    fits_a_message,
    header,
    is_of_a_document,
    refuse_multi_vectors,
    refused,
    settings_of,
    unfit,
    within,
)
from qda_worker.conversion.embedding import fill_vectors, require_able, vectors_asked
from qda_worker.conversion.metadata import timings
from qda_worker.conversion.request_fields import check_labels
from qda_worker.conversion.results import fill_entities, fill_sentiment, results
from qda_worker.errors import Draining, EncodingMissing, ModelDied, QueueFull, TextNotUtf8
from qda_worker.interceptors.errors import Context
from qda_worker.models.base import ModelInfo, Options
from qda_worker.models.sentence_units import SentenceOptions
from qda_worker.observability.call_record import CallRecord, current_call
from qda_worker.registry.registry import ModelRegistry, Serving
from qda_worker.scheduling.jobs import Failed, Lane, Outcome, Timings
from qda_worker.services.bounded_stream import BoundedPipeline
from qda_worker.services.inference import build_off_loop, fairness_key, record_outcomes

# Writes one outcome into a document's result.
Put = Callable[[pb.DocumentResult, text_pb2.Text, Outcome[Any]], None]


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
    settings: pb.AnalyzeDocumentsSettings, common: AnalysisAsked, fleet: ModelRegistry
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


def _sentiment(wanted: pb.SentimentTask, common: AnalysisAsked, fleet: ModelRegistry) -> DocumentTask:
    encoding = common.encoding if wanted.include_sentences else None
    options = (SentenceOptions if wanted.include_sentences else Options)(common.long_text)

    def put_into(info: ModelInfo) -> Put:
        fill = fill_sentiment(info, encoding)

        def put(result: pb.DocumentResult, text: text_pb2.Text, outcome: Outcome[Any]) -> None:
            made = results([text], [outcome], info, sentiment_pb2.SentimentResult, fill)
            result.sentiment.CopyFrom(made[0])

        return put

    return _task(lambda: fleet.choose(wanted.model, Task.SENTIMENT), options, put_into)


def _entities(wanted: pb.EntityTask, common: AnalysisAsked, fleet: ModelRegistry) -> DocumentTask:
    encoding = common.encoding
    if encoding is None:
        raise EncodingMissing("offset_encoding is not set")
    by_common_names = request_fields.common_labels(wanted.label_scheme)

    def put_into(info: ModelInfo) -> Put:
        labels = check_labels(wanted.labels, info.labels, common=by_common_names)
        fill = fill_entities(encoding, common=by_common_names, wanted=labels)

        def put(result: pb.DocumentResult, text: text_pb2.Text, outcome: Outcome[Any]) -> None:
            result.entities.CopyFrom(results([text], [outcome], info, entity_pb2.EntityResult, fill)[0])

        return put

    return _task(lambda: fleet.choose(wanted.model, Task.ENTITIES), Options(common.long_text), put_into)


def _vectors(
    wanted: pb.EmbeddingTask, common: AnalysisAsked, fleet: ModelRegistry
) -> Callable[[], DocumentTask]:
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


# What a document costs beside its text: so that many empty ones do not count as nothing.
_BYTES_OF_A_PART: Final = 512

# A document with its position, or why it could not be read.
Arrived: TypeAlias = tuple[int, text_pb2.Text | TextNotUtf8]


class AnalysisService(analysis_pb2_grpc.AnalysisServiceServicer):
    """Answers with all models of the fleet."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self._fleet = fleet

    async def AnalyzeDocuments(
        self, request_iterator: AsyncIterator[pb.AnalyzeDocumentsRequest], context: Context
    ) -> AsyncIterator[pb.AnalyzeDocumentsResponse]:
        """One result a document. What the caller does not read is not computed."""
        settings = settings_of(await _first(request_iterator, self._fleet.ending))
        common = analysis_asked(settings)
        tasks = document_tasks(settings, common, self._fleet)
        record = current_call()
        record.model = ",".join(dict.fromkeys(task.serving.engine.info.key for task in tasks))
        yield pb.AnalyzeDocumentsResponse(header=header(settings, [task.serving for task in tasks]))
        analysis = _Analysis(tasks, common.lane, fairness_key(record.caller), record)
        flow = BoundedPipeline(_Documents(request_iterator), analysis.result, _size, self._fleet.ending)
        async with aclosing(flow.results()) as results:
            async for result in results:
                yield pb.AnalyzeDocumentsResponse(result=result)


@dataclass(frozen=True, slots=True)
class _Analysis:
    """How one document of a stream becomes its result."""

    tasks: Sequence[DocumentTask]
    lane: Lane
    caller: str
    record: CallRecord

    async def result(self, arrived: Arrived) -> pb.DocumentResult:
        """Raises what ends the stream: see `DocumentTask.ask`."""
        began = time.monotonic()
        index, document = arrived
        self.record.items += 1
        if isinstance(document, TextNotUtf8):
            self.record.failed_items += 1
            return refused(index, "", document)
        error = unfit(document)
        if error is not None:
            self.record.failed_items += 1
            return refused(index, document.id, error)
        outcomes = await self._ask(document.content)
        record_outcomes(self.record, outcomes)
        self.record.failed_items += any(isinstance(outcome, Failed) for outcome in outcomes)
        return await build_off_loop([document.content], lambda: self._built(index, document, outcomes, began))

    async def _ask(self, content: str) -> list[Outcome[Any]]:
        if len(self.tasks) == 1:
            return [await self.tasks[0].ask(content, self.lane, self.caller)]
        asked = [asyncio.ensure_future(task.ask(content, self.lane, self.caller)) for task in self.tasks]
        try:
            return await asyncio.gather(*asked)
        finally:
            for each in asked:  # one that raised ends the stream: the others are not computed any more
                each.cancel()

    def _built(
        self, index: int, document: text_pb2.Text, outcomes: Sequence[Outcome[Any]], began: float
    ) -> pb.DocumentResult:
        result = pb.DocumentResult(index=index, id=document.id)
        for task, outcome in zip(self.tasks, outcomes, strict=True):
            task.put(result, document, outcome)
        result.timings.CopyFrom(timings((each.timings for each in outcomes), time.monotonic() - began))
        return fits_a_message(result)


class _Documents:
    """The parts after the settings. Text that is not UTF-8 spoils its own document only."""

    def __init__(self, parts: AsyncIterator[pb.AnalyzeDocumentsRequest]) -> None:
        self._parts = parts
        self._positions = count()

    def __aiter__(self) -> AsyncIterator[Arrived]:
        return self

    async def __anext__(self) -> Arrived:
        try:
            part = await anext(self._parts)
        except TextNotUtf8 as error:
            if not is_of_a_document(error):
                raise
            return next(self._positions), error
        return next(self._positions), document_of(part)


def _size(arrived: Arrived) -> int:
    document = arrived[1]
    return _BYTES_OF_A_PART + (0 if isinstance(document, TextNotUtf8) else document.ByteSize())


async def _first(
    parts: AsyncIterator[pb.AnalyzeDocumentsRequest], ending: asyncio.Event
) -> pb.AnalyzeDocumentsRequest | None:
    """The first part; None for a stream without any. Raises Draining if the worker ends before it comes."""
    part = asyncio.ensure_future(anext(parts, None))
    end = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait((part, end), return_when=asyncio.FIRST_COMPLETED)
    finally:
        end.cancel()
    if not part.done():
        part.add_done_callback(_look_at)
        raise Draining("this worker is ending; nothing was accepted")
    return part.result()


def _look_at(part: asyncio.Future[Any]) -> None:
    """The call has ended before this part came: how its reading ends is of no interest, but must be looked at."""
    if not part.cancelled():
        part.exception()
