"""A stream of documents that outlives its worker: what was sent and not answered yet is sent again to the next one.

Pure but for the caller's iterator; the clients carry the parts to a worker and back. Memory holds only the
documents that are under way, and gRPC's flow control decides how many those are.
"""

from __future__ import annotations

from collections.abc import Sequence

from qda.v1 import analysis_pb2, text_pb2
from qda_worker.client import reading, wire_words
from qda_worker.client.analysis import (
    AnalysisProvenance,
    AnalysisTask,
    DocumentAnalysis,
    EmbeddingTask,
    EntityTask,
    SentimentTask,
)
from qda_worker.client.choices import LongTexts, Offsets, Priority
from qda_worker.client.errors import InvalidRequest, ServerFailed, Violation
from qda_worker.client.jobs import embedding_options


def analysis_settings(
    tasks: Sequence[AnalysisTask], *, offsets: Offsets, long_texts: LongTexts, priority: Priority | None
) -> analysis_pb2.AnalyzeDocumentsRequest:
    """The first part of a stream.

    Raises:
        InvalidRequest: no task, sentiment or entities twice, or an unknown choice.
    """
    settings = analysis_pb2.AnalyzeDocumentsSettings(
        long_text_policy=wire_words.number(wire_words.LONG_TEXTS, long_texts, "long_texts"),
        offset_encoding=wire_words.number(wire_words.OFFSETS, offsets, "offsets"),
    )
    if priority is not None:
        settings.priority = wire_words.number(wire_words.PRIORITIES, priority, "priority")
    for index, task in enumerate(tasks):
        _add_task(settings, task, f"tasks[{index}]")
    if not tasks:
        raise _invalid("tasks", "is empty; ask for at least one")
    return analysis_pb2.AnalyzeDocumentsRequest(settings=settings)


class UnansweredDocuments:
    """The documents between the caller's iterator and the results, known by their positions from 0.

    One thread (or task) adds and looks up what is to be sent, another takes out what was answered.
    """

    def __init__(self) -> None:
        self.answered = 0
        """Documents whose result has arrived; also the position of the oldest one that is under way."""
        self.added = 0
        """Documents that were taken from the caller's iterator."""
        self._waiting: dict[int, text_pb2.Text] = {}

    def add(self, document: text_pb2.Text) -> None:
        """Takes in the next document of the caller."""
        self._waiting[self.added] = document
        self.added += 1

    def at(self, position: int) -> text_pb2.Text | None:
        """The document at a position; None if there is none (yet), or if it was answered."""
        return self._waiting.get(position)

    def answer(self, position: int) -> None:
        """Notes the result of the oldest document under way.

        Raises:
            ServerFailed: it is the result of another one.
        """
        if position != self.answered or position not in self._waiting:
            raise ServerFailed(f"the worker answered document {position} where {self.answered} was due")
        del self._waiting[position]
        self.answered += 1


class StreamAnswers:
    """Reads the parts of one stream, which began with document `first`."""

    def __init__(self, documents: UnansweredDocuments) -> None:
        self._documents = documents
        self._first = documents.answered
        self._made_by = AnalysisProvenance(None, None, ())
        self._offsets: Offsets | None = None
        self.results = 0
        """Results that this stream brought."""

    def read(self, response: analysis_pb2.AnalyzeDocumentsResponse) -> DocumentAnalysis | None:
        """The result that a part brings; None if it brings none (the header)."""
        match response.WhichOneof("part"):
            case "header":
                self._made_by = reading.analysis_provenance(response.header)
                self._offsets = reading.offsets_of(response.header.offset_encoding)
            case "result":
                position = self._first + response.result.index
                self._documents.answer(position)
                self.results += 1
                return reading.document(response.result, position, self._offsets, self._made_by)
        return None

    def end(self) -> None:
        """The stream has ended well.

        Raises:
            ServerFailed: documents that were sent have no result.
        """
        missing = self._documents.added - self._documents.answered
        if missing:
            raise ServerFailed(f"the stream ended without the results of {missing} documents that were sent")


def _add_task(settings: analysis_pb2.AnalyzeDocumentsSettings, task: AnalysisTask, place: str) -> None:
    if isinstance(task, EmbeddingTask):
        options = embedding_options(task.kinds, task.normalize, task.dimensions, task.numbers)
        settings.embeddings.append(analysis_pb2.EmbeddingTask(model=task.model, options=options))
        return
    if settings.HasField("sentiment" if isinstance(task, SentimentTask) else "entities"):
        raise _invalid(place, "asks for the same task a second time")
    if isinstance(task, SentimentTask):
        settings.sentiment.CopyFrom(
            analysis_pb2.SentimentTask(model=task.model, include_sentences=task.sentences)
        )
    elif isinstance(task, EntityTask):
        scheme = wire_words.number(wire_words.LABEL_SCHEMES, task.label_scheme, f"{place}.label_scheme")
        settings.entities.CopyFrom(
            analysis_pb2.EntityTask(model=task.model, label_scheme=scheme, labels=task.labels)
        )


def _invalid(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {what}", violations=[Violation(field, what)])
