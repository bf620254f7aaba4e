"""What the settings of a stream of documents ask for.

The parts of AnalyzeDocuments' answer that are not one task's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from qda.v1 import analysis_pb2 as pb
from qda.v1 import embedding_pb2, text_pb2
from qda_worker.conversion import request_fields
from qda_worker.conversion.metadata import provenance
from qda_worker.conversion.rpc_status import status_of
from qda_worker.errors import ArgumentInvalid, TextEmpty, TextNotUtf8, Violation, WorkerError
from qda_worker.limits import MAX_ID_BYTES, MAX_RESPONSE_BYTES
from qda_worker.models.base import LongText
from qda_worker.models.offsets import OffsetEncoding
from qda_worker.registry.registry import Serving
from qda_worker.scheduling.jobs import Lane

_Made = TypeVar("_Made")

MAX_EMBEDDING_TASKS: Final = 8


@dataclass(frozen=True, slots=True)
class AnalysisAsked:
    """What all documents of a stream have in common. encoding: None where no positions are asked for."""

    long_text: LongText
    lane: Lane
    encoding: OffsetEncoding | None


def settings_of(part: pb.AnalyzeDocumentsRequest | None) -> pb.AnalyzeDocumentsSettings:
    """The settings, from the first part of a stream; None if it had none. Raises ArgumentInvalid."""
    if part is None or part.WhichOneof("part") != "settings":
        found = "nothing" if part is None else "a document" if part.HasField("document") else "an empty part"
        raise ArgumentInvalid(
            f"the stream begins with {found}",
            "send AnalyzeDocumentsSettings first, then the documents",
            violations=[Violation("settings", "must be the first part")],
        )
    return part.settings


def document_of(part: pb.AnalyzeDocumentsRequest) -> text_pb2.Text:
    """The document, from a later part. Raises ArgumentInvalid."""
    match part.WhichOneof("part"):
        case "document":
            return part.document
        case "settings":
            what, violation = "the settings came a second time", "may be sent once, first"
        case _:
            what, violation = "a part is neither settings nor a document", "is not set"
    raise ArgumentInvalid(
        what, "send the settings once, then documents", violations=[Violation("part", violation)]
    )


def analysis_asked(settings: pb.AnalyzeDocumentsSettings) -> AnalysisAsked:
    """Raises ArgumentInvalid or EncodingMissing."""
    count = len(settings.embeddings)
    if not (settings.HasField("sentiment") or settings.HasField("entities") or count):
        raise ArgumentInvalid(
            "the settings ask for no task",
            "set sentiment, entities or embeddings",
            violations=[Violation("settings", "asks for no task")],
        )
    if count > MAX_EMBEDDING_TASKS:
        raise ArgumentInvalid(
            f"the settings ask for {count} embeddings, and at most {MAX_EMBEDDING_TASKS} may be",
            "ask for the others in a stream of their own",
            violations=[Violation("settings.embeddings", f"holds {count}; at most {MAX_EMBEDDING_TASKS}")],
        )
    positions = settings.HasField("entities") or settings.sentiment.include_sentences
    return AnalysisAsked(
        within("settings", lambda: request_fields.long_text(settings.long_text_policy)),
        within("settings", lambda: request_fields.lane(settings.priority, Lane.BULK)),
        within("settings", lambda: request_fields.offset_encoding(settings.offset_encoding))
        if positions
        else None,
    )


def refuse_multi_vectors(options: embedding_pb2.EmbeddingOptions) -> None:
    """Raises ArgumentInvalid: they may pass the message limit."""
    for index, kind in enumerate(options.kinds):
        if kind == embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR:
            raise ArgumentInvalid(
                "EMBEDDING_KIND_MULTI_VECTOR may pass the message limit",
                "ask EmbeddingService.EmbedStream for multi-vectors",
                violations=[Violation(f"options.kinds[{index}]", "is not served by AnalyzeDocuments")],
            )


def unfit(document: text_pb2.Text) -> WorkerError | None:
    """Why no task can look at this document; None if they can."""
    if not document.content:
        return TextEmpty("the document has no characters")
    if len(document.id) * 4 > MAX_ID_BYTES and len(document.id.encode()) > MAX_ID_BYTES:
        return ArgumentInvalid(
            f"the document's id is longer than {MAX_ID_BYTES} bytes",
            "use shorter ids",
            violations=[Violation("document.id", f"is longer than {MAX_ID_BYTES} bytes")],
        )
    return None


def is_of_a_document(error: TextNotUtf8) -> bool:
    """Whether a part that could not be read is a document, so that it spoils only itself."""
    return all(violation.field.startswith("document.") for violation in error.violations)


def within(place: str, make: Callable[[], _Made]) -> _Made:
    """What `make` gives; the fields that its refusal names are told as parts of `place`."""
    try:
        return make()
    except WorkerError as error:
        violations = [
            Violation(f"{place}.{violation.field}", violation.description) for violation in error.violations
        ]
        raise type(error)(f"{place}: {error.message}", error.remedy, violations=violations) from error


# What a response has around its result.
_ENVELOPE_BYTES: Final = 64


def header(settings: pb.AnalyzeDocumentsSettings, servings: Sequence[Serving]) -> pb.AnalyzeDocumentsHeader:
    """The first part. `servings` in the order of the tasks: sentiment, entities, vectors."""
    made_by = [provenance(serving) for serving in servings]
    message = pb.AnalyzeDocumentsHeader(offset_encoding=settings.offset_encoding)
    if settings.HasField("sentiment"):
        message.sentiment_provenance.CopyFrom(made_by.pop(0))
    if settings.HasField("entities"):
        message.entity_provenance.CopyFrom(made_by.pop(0))
    message.embedding_provenances.extend(made_by)
    return message


def refused(index: int, id: str, error: WorkerError) -> pb.DocumentResult:
    """The result of a document that no task has looked at."""
    return pb.DocumentResult(index=index, id=id, status=status_of(error))


def fits_a_message(result: pb.DocumentResult) -> pb.DocumentResult:
    """The result, or, where it would pass the message limit and so end the stream, a refusal in its place."""
    size = result.ByteSize() + _ENVELOPE_BYTES
    if size <= MAX_RESPONSE_BYTES:
        return result
    return refused(
        result.index,
        result.id,
        ArgumentInvalid(
            f"the result has {size} bytes, and at most {MAX_RESPONSE_BYTES} may be sent at once",
            "split the document, or ask for fewer tasks in one stream",
        ),
    )
