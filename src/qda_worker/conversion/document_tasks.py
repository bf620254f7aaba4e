"""The tasks of AnalyzeDocuments as values: the model and options of each, and how it writes its part of a result.

The settings list the tasks: sentiment, entities, syntax and up to `MAX_EMBEDDING_TASKS` embeddings, one for each model.
Each task writes its part with the same functions as the unary call of its service, so both give the same results.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from model_cache.catalog.catalog import Task
from qda.v1 import analysis_pb2 as pb
from qda.v1 import embedding_pb2, syntax_pb2
from qda_worker.conversion.embedding import VectorSpec, check_supported, fill_vectors, parse_vector_spec
from qda_worker.conversion.entities import LabelSelection, check_labels, fill_entities, parse_labels
from qda_worker.conversion.request_fields import field_prefix
from qda_worker.conversion.results import fill_result
from qda_worker.conversion.sentiment import fill_sentiment, sentiment_options
from qda_worker.conversion.syntax import SYNTAX_LAYERS, ByteBudget, check_layers, fill_syntax, parse_layers
from qda_worker.errors import ArgumentInvalid, EncodingMissing, Violation
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import LongText, ModelInfo, Options
from qda_worker.models.offsets import OffsetEncoding
from qda_worker.models.syntax import SyntaxOptions
from qda_worker.scheduling.jobs import Lane, Outcome

# Bytes of a response beside the results of its tasks: timings, field headers, the status of a syntax that does not fit.
_RESPONSE_OVERHEAD_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """The parsed settings of an AnalyzeDocuments stream, which all its documents share.

    Attributes:
        settings: the message; `parse_tasks` parses its tasks.
        long_text: the policy for long texts, for all tasks.
        lane: the lane of the queues.
        span_encoding: the unit of all spans; None where no task returns any.
    """

    settings: pb.AnalyzeDocumentsSettings
    long_text: LongText
    lane: Lane
    span_encoding: OffsetEncoding | None


class TaskRequest(Protocol):
    """One parsed task: its model and options, and how to write its answer into a document's result."""

    task: ClassVar[Task]

    @property
    def field(self) -> str:
        """The path of the task's message, for errors."""

    @property
    def model(self) -> str:
        """The key of the model; empty for the default."""

    @property
    def options(self) -> Options:
        """The options for the model."""

    def check(self, info: ModelInfo) -> None:
        """Check what only the model can decide.

        Raises:
            ArgumentInvalid: when the model does not support the task's options.
        """

    def fill(self, result: pb.DocumentResult, content: str, outcome: Outcome[Any], info: ModelInfo) -> None:
        """Fill this task's part of a document's result. The id of the document is set already."""


@dataclass(frozen=True, slots=True)
class SentimentTaskRequest:
    """Sentiment of each document, and of its sentences if `span_encoding` is set."""

    task: ClassVar[Task] = Task.SENTIMENT

    field: str
    model: str
    options: Options
    span_encoding: OffsetEncoding | None

    def check(self, info: ModelInfo) -> None:
        """Every sentiment model supports every option."""

    def fill(self, result: pb.DocumentResult, content: str, outcome: Outcome[Any], info: ModelInfo) -> None:
        fill_answer = partial(fill_sentiment, info=info, span_encoding=self.span_encoding)
        fill_result(result.sentiment, result.id, content, outcome, info, fill_answer)


@dataclass(frozen=True, slots=True)
class EntityTaskRequest:
    """Entities of each document."""

    task: ClassVar[Task] = Task.ENTITIES

    field: str
    model: str
    options: Options
    labels: LabelSelection
    span_encoding: OffsetEncoding

    def check(self, info: ModelInfo) -> None:
        check_labels(self.labels, info.labels)

    def fill(self, result: pb.DocumentResult, content: str, outcome: Outcome[Any], info: ModelInfo) -> None:
        fill_answer = partial(fill_entities, labels=self.labels, span_encoding=self.span_encoding)
        fill_result(result.entities, result.id, content, outcome, info, fill_answer)


@dataclass(frozen=True, slots=True)
class SyntaxTaskRequest:
    """Sentences and tokens of each document."""

    task: ClassVar[Task] = Task.SYNTAX

    field: str
    model: str
    options: SyntaxOptions
    span_encoding: OffsetEncoding

    def check(self, info: ModelInfo) -> None:
        check_layers(self.options, info)

    def layers(self, info: ModelInfo) -> list[syntax_pb2.SyntaxLayer.ValueType]:
        """Return the layers of the results."""
        return [SYNTAX_LAYERS[layer] for layer in self.options.returned_layers(info)]

    def fill(self, result: pb.DocumentResult, content: str, outcome: Outcome[Any], info: ModelInfo) -> None:
        """Fill the syntax into what the other tasks have left of the message."""
        budget = ByteBudget(MAX_RESPONSE_BYTES - result.ByteSize() - _RESPONSE_OVERHEAD_BYTES)
        fill_answer = partial(fill_syntax, span_encoding=self.span_encoding, budget=budget)
        fill_result(result.syntax, result.id, content, outcome, info, fill_answer)


@dataclass(frozen=True, slots=True)
class EmbeddingTaskRequest:
    """Vectors of each document, from one of several models."""

    task: ClassVar[Task] = Task.EMBEDDING

    field: str
    model: str
    vectors: VectorSpec

    @property
    def options(self) -> Options:
        """The options for the model."""
        return self.vectors.options

    def check(self, info: ModelInfo) -> None:
        check_supported(self.vectors, info)

    def fill(self, result: pb.DocumentResult, content: str, outcome: Outcome[Any], info: ModelInfo) -> None:
        fill_answer = partial(fill_vectors, element_type=self.vectors.element_type)
        fill_result(result.embeddings.add(), result.id, content, outcome, info, fill_answer)


def parse_tasks(request: AnalysisRequest) -> Iterator[TaskRequest]:
    """Parse the tasks one by one, each when it is taken, embeddings last and in their order.

    The caller selects and checks the model of a task before it takes the next one. So the first invalid task, in this
    order, decides the error of the call.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    settings = request.settings
    if settings.HasField("sentiment"):
        yield _parse_sentiment_task(settings.sentiment, request, "settings.sentiment")
    if settings.HasField("entities"):
        yield _parse_entity_task(settings.entities, request, "settings.entities")
    if settings.HasField("syntax"):
        yield _parse_syntax_task(settings.syntax, request, "settings.syntax")
    for index, task in enumerate(settings.embeddings):
        yield _parse_embedding_task(task, request, f"settings.embeddings[{index}]")


def _parse_sentiment_task(
    task: pb.SentimentTask, request: AnalysisRequest, field: str
) -> SentimentTaskRequest:
    return SentimentTaskRequest(
        field=field,
        model=task.model,
        options=sentiment_options(request.long_text, include_sentences=task.include_sentences),
        span_encoding=request.span_encoding if task.include_sentences else None,
    )


def _parse_entity_task(task: pb.EntityTask, request: AnalysisRequest, field: str) -> EntityTaskRequest:
    with field_prefix(field):
        return EntityTaskRequest(
            field=field,
            model=task.model,
            options=Options(request.long_text),
            labels=parse_labels(task.labels, task.label_scheme),
            span_encoding=_required(request.span_encoding),
        )


def _parse_syntax_task(task: pb.SyntaxTask, request: AnalysisRequest, field: str) -> SyntaxTaskRequest:
    with field_prefix(field):
        return SyntaxTaskRequest(
            field=field,
            model=task.model,
            options=SyntaxOptions(request.long_text, layers=parse_layers(task.layers)),
            span_encoding=_required(request.span_encoding),
        )


def _parse_embedding_task(
    task: pb.EmbeddingTask, request: AnalysisRequest, field: str
) -> EmbeddingTaskRequest:
    with field_prefix(field):
        _check_no_multi_vectors(task.options)
        return EmbeddingTaskRequest(
            field, task.model, parse_vector_spec(task.options, request.long_text, task.prompt_name)
        )


def _required(encoding: OffsetEncoding | None) -> OffsetEncoding:
    if encoding is None:  # not reached: `parse_settings` requires it for tasks with spans
        raise EncodingMissing("offset_encoding is not set")
    return encoding


def _check_no_multi_vectors(options: embedding_pb2.EmbeddingOptions) -> None:
    for index, kind in enumerate(options.kinds):
        if kind == embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR:
            raise ArgumentInvalid(
                "EMBEDDING_KIND_MULTI_VECTOR may exceed the message limit",
                "call EmbeddingService.EmbedStream for multi-vectors",
                violations=[Violation(f"options.kinds[{index}]", "is not served by AnalyzeDocuments")],
            )
