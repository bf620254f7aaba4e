"""AnalysisService: runs several tasks on a stream of documents, in their order and in bounded memory.

One call passes through these steps:

1. Settings: the first part of the stream is parsed; each task chooses and checks its model. The response begins with a
   header that names the models.
2. Documents: a `BoundedPipeline` reads documents, processes several at once and yields the results in their order.
3. Each document: its tasks wait in the queues of their models at the same time. The outcomes become one result with the
   same functions as those of the unary calls.

Failures: a document that cannot be used, or a text that a model refuses, becomes a status in its result. If a model
dies, the documents that it had get the error, and for later ones the registry selects again: it raises NotReady,
which ends the stream, so that the client continues at another worker. A full queue delays the document, which is
the flow control of the stream.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from qda.v1 import analysis_pb2 as pb
from qda.v1 import analysis_pb2_grpc
from qda_worker.conversion.analysis import (
    DocumentRequest,
    build_document,
    build_failed_document,
    build_header,
    parse_document,
    parse_settings,
    parse_unreadable_document,
)
from qda_worker.conversion.document_tasks import AnalysisRequest, TaskRequest, parse_tasks
from qda_worker.conversion.request_fields import field_prefix
from qda_worker.errors import Draining, ModelDied, TextNotUtf8
from qda_worker.interceptors.base import Context
from qda_worker.observability.call_record import CallRecord, current_call
from qda_worker.registry.registry import ModelRegistry, SelectedModel
from qda_worker.scheduling.jobs import Caller, Failure, Lane, Outcome, Timings
from qda_worker.services.bounded_stream import BoundedPipeline
from qda_worker.services.inference import build_off_loop, fairness_key, record_outcomes, wait_for_room


class AnalysisService(analysis_pb2_grpc.AnalysisServiceServicer):
    """Servicer of `qda.v1.AnalysisService`; it uses all models of `registry`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def AnalyzeDocuments(
        self, request_iterator: AsyncIterator[pb.AnalyzeDocumentsRequest], context: Context
    ) -> AsyncIterator[pb.AnalyzeDocumentsResponse]:
        """Yield a header, then one result for each document. What the client does not read is not computed."""
        draining = self._registry.draining
        request = parse_settings(await _read_first(request_iterator, draining))
        tasks = _choose_models(request, self._registry)
        record = current_call()
        record.model = ",".join(dict.fromkeys(task.selected.engine.info.key for task in tasks))
        yield build_header(request, [(task.request, task.selected) for task in tasks])
        analyzer = _DocumentAnalyzer(tasks, request.lane, fairness_key(record), record)
        pipeline = BoundedPipeline(
            _DocumentReader(request_iterator), analyzer.analyze, lambda document: document.size, draining
        )
        async with aclosing(pipeline.results()) as results:
            async for result in results:
                yield pb.AnalyzeDocumentsResponse(result=result)


@dataclass(frozen=True, slots=True)
class _DocumentTask:
    """One task of the settings with its model.

    Attributes:
        request: the parsed task.
        selected: the model that answers, as chosen when the stream began.
        registry: Selects another model if that one has died.
    """

    request: TaskRequest
    selected: SelectedModel
    registry: ModelRegistry

    async def infer(self, content: str, lane: Lane, caller: Caller) -> Outcome[Any]:
        """Compute one document. Waits while the queue is full, see `wait_for_room`.

        Raises:
            NotReady: when the model has died and is not loaded again yet.
            Draining: when the worker is shutting down.
        """
        selected = self.selected
        if not selected.engine.queue.healthy:
            selected = self.registry.select(self.request.model, self.request.task)
        try:
            (outcome,) = await wait_for_room(selected, [content], self.request.options, lane, caller)
        except ModelDied as error:
            return Failure(error, Timings())
        return outcome


def _choose_models(request: AnalysisRequest, registry: ModelRegistry) -> list[_DocumentTask]:
    """Choose the model of each task, in the order of the settings.

    Raises:
        InvalidRequest: when a task is invalid or its model does not support it.
        TaskNotServed: when no model of this worker is for it.
        NotReady: when its model is not loaded.
    """
    tasks = []
    for task in parse_tasks(request):
        with field_prefix(task.field):
            selected = registry.select(task.model, task.task)
            task.check(selected.engine.info)
        tasks.append(_DocumentTask(task, selected, registry))
    return tasks


@dataclass(frozen=True, slots=True)
class _DocumentAnalyzer:
    """Turns a document of one stream into its result.

    Attributes:
        tasks: the tasks of the settings.
        lane: the lane of the queues.
        caller: the key by which the queues share a model's time.
        record: the record of the call.
    """

    tasks: Sequence[_DocumentTask]
    lane: Lane
    caller: Caller
    record: CallRecord

    async def analyze(self, document: DocumentRequest) -> pb.DocumentResult:
        """Return the result of a document.

        Raises:
            Unavailable: see `_DocumentTask.infer`; this ends the stream.
        """
        self.record.in_progress += 1
        try:
            return await self._analyze(document, time.monotonic())
        finally:
            self.record.in_progress -= 1

    async def _analyze(self, document: DocumentRequest, started: float) -> pb.DocumentResult:
        self.record.items += 1
        if document.error is not None:
            self.record.failed_items += 1
            return build_failed_document(document, document.error)
        outcomes = await self._infer(document.content)
        record_outcomes(self.record, outcomes)
        self.record.failed_items += any(isinstance(outcome, Failure) for outcome in outcomes)
        answers = [
            (task.request, task.selected.engine.info, outcome)
            for task, outcome in zip(self.tasks, outcomes, strict=True)
        ]
        return await build_off_loop([document.content], lambda: build_document(document, answers, started))

    async def _infer(self, content: str) -> list[Outcome[Any]]:
        if len(self.tasks) == 1:
            return [await self.tasks[0].infer(content, self.lane, self.caller)]
        inferences = [asyncio.create_task(task.infer(content, self.lane, self.caller)) for task in self.tasks]
        try:
            return await asyncio.gather(*inferences)
        finally:
            for inference in inferences:  # if one raised, the stream ends and the others are not needed
                inference.cancel()


class _DocumentReader:
    """Iterates over the documents of the stream. One whose text is not UTF-8 does not affect the others.

    Raises:
        ArgumentInvalid: when a part is not a document.
        TextNotUtf8: when a part that is not a document has text that is not UTF-8.
    """

    def __init__(self, parts: AsyncIterator[pb.AnalyzeDocumentsRequest]) -> None:
        self._parts = parts
        self._next_index = 0

    def __aiter__(self) -> AsyncIterator[DocumentRequest]:
        return self

    async def __anext__(self) -> DocumentRequest:
        try:
            part = await anext(self._parts)
        except TextNotUtf8 as error:
            document = parse_unreadable_document(self._next_index, error)
        else:
            document = parse_document(self._next_index, part)
        self._next_index += 1
        return document


async def _read_first(
    parts: AsyncIterator[pb.AnalyzeDocumentsRequest], draining: asyncio.Event
) -> pb.AnalyzeDocumentsRequest | None:
    """Read the first part of the stream; None for an empty stream.

    The read is never cancelled: a cancelled read of gRPC breaks the call.

    Raises:
        Draining: when the worker shuts down before the part arrives.
    """
    read = asyncio.ensure_future(anext(parts, None))
    shutdown = asyncio.create_task(draining.wait())
    try:
        await asyncio.wait((read, shutdown), return_when=asyncio.FIRST_COMPLETED)
    finally:
        shutdown.cancel()
    if not read.done():
        read.add_done_callback(_retrieve_exception)
        raise Draining("this worker is shutting down; nothing was accepted")
    return read.result()


def _retrieve_exception(read: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a read whose call has ended; asyncio logs those that nothing retrieves."""
    if not read.cancelled():
        read.exception()
