"""The parts of AnalyzeDocuments' answer that are not one task's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qda.v1 import analysis_pb2 as pb
from qda_worker.conversion.statuses import status_of
from qda_worker.conversion.told import provenance
from qda_worker.errors import ArgumentInvalid, WorkerError
from qda_worker.fleet.fleet import Serving
from qda_worker.limits import MAX_RESPONSE_BYTES

_ENVELOPE_BYTES: Final = 64
"""What a response has around its result."""


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
