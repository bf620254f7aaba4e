"""AnalyzeDocuments: settings, tasks and documents as values, and one result message for each document.

The request is a stream: settings first, then documents. The settings list the tasks: sentiment, entities and up to
`MAX_EMBEDDING_TASKS` embeddings, one for each model. Each task writes its part of a document's result with the same
functions as the unary call of its service, so both give the same results.

An error in the settings ends the call. An error in a document becomes the status of its own result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from model_cache.catalog.catalog import Task
from qda.v1 import analysis_pb2 as pb
from qda.v1 import embedding_pb2
from qda_worker.conversion.embedding import VectorSpec, check_supported, fill_vectors, parse_vector_spec
from qda_worker.conversion.entities import LabelSelection, check_labels, fill_entities, parse_labels
from qda_worker.conversion.metadata import build_provenance, build_timings
from qda_worker.conversion.request_fields import (
    field_prefix,
    is_id_too_long,
    parse_long_text_policy,
    parse_offset_encoding,
    parse_priority,
)
from qda_worker.conversion.results import fill_result
from qda_worker.conversion.rpc_status import build_status
from qda_worker.conversion.sentiment import fill_sentiment, sentiment_options
from qda_worker.errors import (
    ArgumentInvalid,
    EncodingMissing,
    TextEmpty,
    TextNotUtf8,
    Violation,
    WorkerError,
)
from qda_worker.limits import MAX_ID_BYTES, MAX_RESPONSE_BYTES
from qda_worker.models.base import LongText, ModelInfo, Options
from qda_worker.models.offsets import OffsetEncoding
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Lane, Outcome

MAX_EMBEDDING_TASKS: Final = 8

# Bytes of a response in addition to its result.
_RESPONSE_OVERHEAD_BYTES: Final = 64
# Bytes of a document's message that do not count against the limit of the stream in bytes, which is for long texts:
# the memory of short ones is bounded by their number.
_UNCOUNTED_BYTES: Final = 256


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


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """One parsed document of the stream.

    Attributes:
        index: its position in the stream.
        id: the caller's id; empty where it could not be read.
        content: the text; empty where it could not be read.
        size: what it counts against the limit of the stream, in bytes.
        error: Why no task can use it; None if they can.
    """

    index: int
    id: str
    content: str
    size: int
    error: WorkerError | None


def parse_settings(part: pb.AnalyzeDocumentsRequest | None) -> AnalysisRequest:
    """Parse the first part of the stream; None is an empty stream.

    Raises:
        ArgumentInvalid: when it is not settings, or a field that all tasks share is out of range.
        EncodingMissing: when a task returns spans and offset_encoding is not set.
    """
    if part is None or part.WhichOneof("part") != "settings":
        kind = "nothing" if part is None else "a document" if part.HasField("document") else "an empty part"
        raise ArgumentInvalid(
            f"the stream begins with {kind}",
            "send AnalyzeDocumentsSettings first, then the documents",
            violations=[Violation("settings", "must be the first part")],
        )
    settings = part.settings
    _check_task_count(settings)
    has_spans = settings.HasField("entities") or settings.sentiment.include_sentences
    with field_prefix("settings"):
        return AnalysisRequest(
            settings=settings,
            long_text=parse_long_text_policy(settings.long_text_policy),
            lane=parse_priority(settings.priority, Lane.BULK),
            span_encoding=parse_offset_encoding(settings.offset_encoding) if has_spans else None,
        )


def _check_task_count(settings: pb.AnalyzeDocumentsSettings) -> None:
    count = len(settings.embeddings)
    if not (settings.HasField("sentiment") or settings.HasField("entities") or count):
        raise ArgumentInvalid(
            "the settings ask for no task",
            "set sentiment, entities or embeddings",
            violations=[Violation("settings", "asks for no task")],
        )
    if count > MAX_EMBEDDING_TASKS:
        raise ArgumentInvalid(
            f"the settings ask for {count} embeddings; at most {MAX_EMBEDDING_TASKS} are allowed",
            "ask for the others in a second stream",
            violations=[Violation("settings.embeddings", f"holds {count}; at most {MAX_EMBEDDING_TASKS}")],
        )


def parse_tasks(request: AnalysisRequest) -> Iterator[TaskRequest]:
    """Parse the tasks one by one, each when it is taken: sentiment, entities, then embeddings in their order.

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
        if request.span_encoding is None:  # not reached: `parse_settings` requires it for entities
            raise EncodingMissing("offset_encoding is not set")
        return EntityTaskRequest(
            field=field,
            model=task.model,
            options=Options(request.long_text),
            labels=parse_labels(task.labels, task.label_scheme),
            span_encoding=request.span_encoding,
        )


def _parse_embedding_task(
    task: pb.EmbeddingTask, request: AnalysisRequest, field: str
) -> EmbeddingTaskRequest:
    with field_prefix(field):
        _check_no_multi_vectors(task.options)
        return EmbeddingTaskRequest(field, task.model, parse_vector_spec(task.options, request.long_text))


def _check_no_multi_vectors(options: embedding_pb2.EmbeddingOptions) -> None:
    for index, kind in enumerate(options.kinds):
        if kind == embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR:
            raise ArgumentInvalid(
                "EMBEDDING_KIND_MULTI_VECTOR may exceed the message limit",
                "call EmbeddingService.EmbedStream for multi-vectors",
                violations=[Violation(f"options.kinds[{index}]", "is not served by AnalyzeDocuments")],
            )


def parse_document(index: int, part: pb.AnalyzeDocumentsRequest) -> DocumentRequest:
    """Parse a part of the stream after the settings. An error in the document itself is in its `error`.

    Raises:
        ArgumentInvalid: when the part is not a document.
    """
    match part.WhichOneof("part"):
        case "document":
            document = part.document
            text_id, content = document.id, document.content
            size = max(0, document.ByteSize() - _UNCOUNTED_BYTES)
            return DocumentRequest(index, text_id, content, size, _document_error(text_id, content))
        case "settings":
            message, violation = "the settings were sent a second time", "may be sent once, first"
        case _:
            message, violation = "a part is neither settings nor a document", "is not set"
    raise ArgumentInvalid(
        message, "send the settings once, then documents", violations=[Violation("part", violation)]
    )


def parse_unreadable_document(index: int, error: TextNotUtf8) -> DocumentRequest:
    """Return the document in whose message protobuf found text that is not UTF-8.

    Raises:
        TextNotUtf8: `error` itself, when the bad text is not part of a document.
    """
    if not all(violation.field.startswith("document.") for violation in error.violations):
        raise error
    return DocumentRequest(index, "", "", 0, error)


def _document_error(text_id: str, content: str) -> WorkerError | None:
    if not content:
        return TextEmpty("the document has no characters")
    if is_id_too_long(text_id):
        return ArgumentInvalid(
            f"the document's id is longer than {MAX_ID_BYTES} bytes",
            "use shorter ids",
            violations=[Violation("document.id", f"is longer than {MAX_ID_BYTES} bytes")],
        )
    return None


def build_header(
    request: AnalysisRequest, tasks: Sequence[tuple[TaskRequest, SelectedModel]]
) -> pb.AnalyzeDocumentsResponse:
    """Build the first message of the response: the models of all tasks."""
    header = pb.AnalyzeDocumentsHeader(offset_encoding=request.settings.offset_encoding)
    for task, selected in tasks:
        provenance = build_provenance(selected)
        if task.task is Task.SENTIMENT:
            header.sentiment_provenance.CopyFrom(provenance)
        elif task.task is Task.ENTITIES:
            header.entity_provenance.CopyFrom(provenance)
        else:
            header.embedding_provenances.append(provenance)
    return pb.AnalyzeDocumentsResponse(header=header)


def build_document(
    document: DocumentRequest,
    answers: Sequence[tuple[TaskRequest, ModelInfo, Outcome[Any]]],
    started: float,
) -> pb.DocumentResult:
    """Build the result of a document.

    Args:
        document: the document.
        answers: for each task the model that answered and the outcome.
        started: as in `build_timings`.

    Returns:
        The result; or, where it would exceed the message limit and so end the stream, a result with that status.
    """
    result = pb.DocumentResult(index=document.index, id=document.id)
    for task, info, outcome in answers:
        task.fill(result, document.content, outcome, info)
    result.timings.CopyFrom(build_timings((outcome.timings for _, _, outcome in answers), started))
    size = result.ByteSize() + _RESPONSE_OVERHEAD_BYTES
    if size <= MAX_RESPONSE_BYTES:
        return result
    return build_failed_document(
        document,
        ArgumentInvalid(
            f"the result has {size} bytes; a message may have at most {MAX_RESPONSE_BYTES}",
            "split the document, or ask for fewer tasks in one stream",
        ),
    )


def build_failed_document(document: DocumentRequest, error: WorkerError) -> pb.DocumentResult:
    """Build the result of a document that has no answers."""
    return pb.DocumentResult(index=document.index, id=document.id, status=build_status(error))
