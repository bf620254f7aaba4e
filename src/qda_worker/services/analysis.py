"""AnalysisService: several tasks on a stream of documents, in their order and in constant memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

from qda.v1 import analysis_pb2 as pb
from qda.v1 import analysis_pb2_grpc, text_pb2
from qda_worker.conversion.analysis_asked import (
    analysis_asked,
    document_of,
    is_of_a_document,
    settings_of,
    unfit,
)
from qda_worker.conversion.document_results import fits_a_message, header, refused
from qda_worker.conversion.told import timings
from qda_worker.errors import Draining, TextNotUtf8
from qda_worker.fleet.fleet import Fleet
from qda_worker.observability.call_record import CallRecord, current_call
from qda_worker.scheduling.work import Failed, Lane, Outcome
from qda_worker.services.asking import built, note, sharer_of
from qda_worker.services.boundary import Context
from qda_worker.services.document_flow import Flow
from qda_worker.services.document_tasks import DocumentTask, document_tasks

_BYTES_OF_A_PART: Final = 512
"""What a document costs beside its text: so that many empty ones do not count as nothing."""

Arrived: TypeAlias = tuple[int, text_pb2.Text | TextNotUtf8]
"""A document with its position, or why it could not be read."""


class AnalysisService(analysis_pb2_grpc.AnalysisServiceServicer):
    """Answers with all models of the fleet."""

    def __init__(self, fleet: Fleet) -> None:
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
        analysis = _Analysis(tasks, common.lane, sharer_of(record.caller), record)
        flow = Flow(_Documents(request_iterator), analysis.result, _size, self._fleet.ending)
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
        note(self.record, outcomes)
        self.record.failed_items += any(isinstance(outcome, Failed) for outcome in outcomes)
        return await built([document.content], lambda: self._built(index, document, outcomes, began))

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
