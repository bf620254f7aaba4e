"""What a request for vectors asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qda.v1 import embedding_pb2
from qda_worker.conversion.asked import element_type
from qda_worker.conversion.tensors import ELEMENT_BYTES
from qda_worker.errors import ArgumentInvalid, NotServedYet, Violation
from qda_worker.limits import MAX_RESPONSE_BYTES

_KINDS: Final = "options.kinds"
_RESULT_BYTES: Final = 80
"""A result without its numbers, at most: usage, shape and the lengths of the parts; measured 40 to 60."""


@dataclass(frozen=True, slots=True)
class VectorsAsked:
    """Dense vectors: the form of their numbers, and whether they are brought to length 1 (else they are left as the
    model's own files make them).
    """

    element_type: embedding_pb2.ElementType.ValueType
    normalise: bool


def vectors_asked(options: embedding_pb2.EmbeddingOptions) -> VectorsAsked:
    """Raises ArgumentInvalid, or NotServedYet for kinds that this release does not serve."""
    for index, kind in enumerate(options.kinds):
        field = f"{_KINDS}[{index}]"
        if (
            kind == embedding_pb2.EMBEDDING_KIND_UNSPECIFIED
            or kind not in embedding_pb2.EmbeddingKind.values()
        ):
            raise ArgumentInvalid(
                f"{field} is {kind}, which is no kind of vector",
                "name EMBEDDING_KIND_DENSE, or leave the list empty",
                violations=[Violation(field, "is no kind of vector")],
            )
        if kind != embedding_pb2.EMBEDDING_KIND_DENSE:
            raise NotServedYet(
                f"{embedding_pb2.EmbeddingKind.Name(kind)} is not served in this release",
                "ask for EMBEDDING_KIND_DENSE",
            )
    if options.dimension_count != 0:
        raise ArgumentInvalid(
            f"options.dimension_count is {options.dimension_count}, and no model here gives shortened vectors",
            "leave it 0; ModelInfo.shortened_dimension_counts lists what a model can do",
            violations=[Violation("options.dimension_count", "must be 0 for this model")],
        )
    return VectorsAsked(element_type(options.element_type), options.normalize)


def check_response_size(
    texts: int, id_bytes: int, dimension: int, element: embedding_pb2.ElementType.ValueType
) -> None:
    """Raises ArgumentInvalid where the response would pass the message limit."""
    size = texts * (dimension * ELEMENT_BYTES[element] + _RESULT_BYTES) + id_bytes
    if size > MAX_RESPONSE_BYTES:
        raise ArgumentInvalid(
            f"the response would have about {size} bytes, and at most {MAX_RESPONSE_BYTES} may be sent at once",
            "send fewer texts at a time, or ask for ELEMENT_TYPE_FLOAT16",
            violations=[Violation("texts", f"{texts} vectors of {dimension} numbers do not fit a message")],
        )
