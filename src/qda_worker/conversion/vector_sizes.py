"""How many bytes vectors take in a message, at most; counted before they are computed."""

from __future__ import annotations

from typing import Final

from qda_worker.conversion.tensors import ELEMENT_BYTES
from qda_worker.conversion.vectors_asked import VectorsAsked
from qda_worker.errors import ArgumentInvalid, Violation
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import ModelInfo, VectorKind

_RESULT_BYTES: Final = 120
"""A result without its id and numbers, at most: usage, shapes and the lengths of the parts; a test measures it."""
_ENVELOPE_BYTES: Final = 4096
"""A response beside its results: provenance and timings."""
_ENTRY_BYTES: Final = 5 + 4 + 3
"""A sparse weight beside its token: the id as a varint, the weight, and the token's field and length."""


def needs_tokens(asked: VectorsAsked) -> bool:
    """Whether the size of a result depends on how many tokens its text has."""
    return bool(asked.kinds - {VectorKind.DENSE})


def result_bytes(tokens: int, asked: VectorsAsked, info: ModelInfo) -> int:
    """The result of a text of which `tokens` tokens are used, without its id: never less than what it will take."""
    element = ELEMENT_BYTES[asked.element_type]
    size = _RESULT_BYTES
    if VectorKind.DENSE in asked.kinds:
        size += element * (asked.options.dimension or info.dimension or 0)
    if VectorKind.SPARSE in asked.kinds:
        size += tokens * (_ENTRY_BYTES + info.longest_token)
    if VectorKind.MULTI_VECTOR in asked.kinds:
        size += tokens * element * (info.multi_dimension or 0)
    return size


def fits(size: int) -> bool:
    """Whether results of so many bytes make a message."""
    return size + _ENVELOPE_BYTES <= MAX_RESPONSE_BYTES


def require_fitting(size: int, texts: int) -> None:
    """Raises ArgumentInvalid where they do not."""
    if not fits(size):
        raise ArgumentInvalid(
            f"the response could have {size} bytes or more, and at most {MAX_RESPONSE_BYTES} may be sent at once",
            "send fewer texts at a time, ask for ELEMENT_TYPE_FLOAT16, or use EmbedStream",
            violations=[Violation("texts", f"the vectors of {texts} texts do not fit a message")],
        )
