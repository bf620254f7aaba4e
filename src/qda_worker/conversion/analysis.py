"""AnalyzeDocuments: settings and documents as values, and one result message for each document.

The request is a stream: settings first, then documents. The settings list the tasks (`document_tasks`).

An error in the settings ends the call. An error in a document becomes the status of its own result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from model_cache.catalog.catalog import Task
from qda.v1 import analysis_pb2 as pb
from qda_worker.conversion.document_tasks import AnalysisRequest, SyntaxTaskRequest, TaskRequest
from qda_worker.conversion.metadata import build_provenance, build_timings
from qda_worker.conversion.request_fields import (
    field_prefix,
    is_id_too_long,
    parse_long_text_policy,
    parse_offset_encoding,
    parse_priority,
)
from qda_worker.conversion.rpc_status import build_status
from qda_worker.errors import (
    ArgumentInvalid,
    TextEmpty,
    TextNotUtf8,
    Violation,
    WorkerError,
)
from qda_worker.limits import MAX_ID_BYTES, MAX_RESPONSE_BYTES
from qda_worker.models.base import ModelInfo
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Lane, Outcome

MAX_EMBEDDING_TASKS: Final = 8

# Bytes of a response in addition to its result.
_RESPONSE_OVERHEAD_BYTES: Final = 64
# Bytes of a document's message that do not count against the limit of the stream in bytes, which is for long texts:
# the memory of short ones is bounded by their number.
_UNCOUNTED_BYTES: Final = 256


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
    has_spans = (
        settings.HasField("entities") or settings.HasField("syntax") or settings.sentiment.include_sentences
    )
    with field_prefix("settings"):
        return AnalysisRequest(
            settings=settings,
            long_text=parse_long_text_policy(settings.long_text_policy),
            lane=parse_priority(settings.priority, Lane.BULK),
            span_encoding=parse_offset_encoding(settings.offset_encoding) if has_spans else None,
        )


def _check_task_count(settings: pb.AnalyzeDocumentsSettings) -> None:
    count = len(settings.embeddings)
    if not (any(settings.HasField(name) for name in ("sentiment", "entities", "syntax")) or count):
        raise ArgumentInvalid(
            "the settings ask for no task",
            "set sentiment, entities, syntax or embeddings",
            violations=[Violation("settings", "asks for no task")],
        )
    if count > MAX_EMBEDDING_TASKS:
        raise ArgumentInvalid(
            f"the settings ask for {count} embeddings; at most {MAX_EMBEDDING_TASKS} are allowed",
            "ask for the others in a second stream",
            violations=[Violation("settings.embeddings", f"holds {count}; at most {MAX_EMBEDDING_TASKS}")],
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
        provenance = build_provenance(selected, task.options)
        if task.task is Task.SENTIMENT:
            header.sentiment_provenance.CopyFrom(provenance)
        elif task.task is Task.ENTITIES:
            header.entity_provenance.CopyFrom(provenance)
        elif isinstance(task, SyntaxTaskRequest):
            header.syntax_provenance.CopyFrom(provenance)
            header.syntax_layers.extend(task.layers(selected.engine.info))
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
    # The syntax is last: it may be many times as large as the text, and gets the room that the others leave.
    for task, info, outcome in sorted(answers, key=lambda answer: isinstance(answer[0], SyntaxTaskRequest)):
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
