"""What a request for vectors asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qda.v1 import embedding_pb2
from qda_worker.conversion.asked import element_type
from qda_worker.errors import ArgumentInvalid, Violation
from qda_worker.models.base import LongText, ModelInfo, VectorKind
from qda_worker.models.vectors import DENSE_ALONE, VectorOptions

KINDS: Final[Mapping[VectorKind, embedding_pb2.EmbeddingKind.ValueType]] = {
    VectorKind.DENSE: embedding_pb2.EMBEDDING_KIND_DENSE,
    VectorKind.SPARSE: embedding_pb2.EMBEDDING_KIND_SPARSE,
    VectorKind.MULTI_VECTOR: embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR,
}
_OF_NUMBER: Final = {int(number): kind for kind, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class VectorsAsked:
    """What the model is asked for, and the form in which its numbers shall travel."""

    options: VectorOptions
    element_type: embedding_pb2.ElementType.ValueType

    @property
    def kinds(self) -> frozenset[VectorKind]:
        """The kinds of vectors wanted."""
        return self.options.kinds


def vectors_asked(options: embedding_pb2.EmbeddingOptions, long_text: LongText) -> VectorsAsked:
    """What is asked for, whatever the model. Raises ArgumentInvalid."""
    if options.dimension_count < 0:
        raise ArgumentInvalid(
            f"options.dimension_count is {options.dimension_count}",
            "leave it 0 for all dimensions",
            violations=[Violation("options.dimension_count", "is negative")],
        )
    wanted = VectorOptions(
        long_text=long_text,
        kinds=_kinds(options.kinds),
        dimension=options.dimension_count or None,
        normalise=options.normalize,
    )
    return VectorsAsked(wanted, element_type(options.element_type))


def require_able(asked: VectorsAsked, info: ModelInfo) -> None:
    """Raises ArgumentInvalid for what this model does not give."""
    missing = [kind for kind in KINDS if kind in asked.kinds and kind not in info.vector_kinds]
    if missing:
        names = ", ".join(embedding_pb2.EmbeddingKind.Name(KINDS[kind]) for kind in info.vector_kinds)
        wanted = embedding_pb2.EmbeddingKind.Name(KINDS[missing[0]])
        raise ArgumentInvalid(
            f'the model "{info.key}" does not give {wanted}',
            f"ask it for {names}, or name a model whose embedding_kinds in ListModels have it",
            violations=[Violation("options.kinds", f"{wanted} is not given by this model")],
        )
    wished, allowed = asked.options.dimension, info.shortened_dimensions
    if wished is not None and wished != info.dimension and wished not in allowed:
        told = ", ".join(map(str, allowed)) or "none"
        raise ArgumentInvalid(
            f'options.dimension_count is {wished}, and "{info.key}" gives {info.dimension}, or shortened: {told}',
            "leave it 0; ModelInfo.shortened_dimension_counts lists what a model can do",
            violations=[Violation("options.dimension_count", "is not given by this model")],
        )


def _kinds(numbers: Iterable[int]) -> frozenset[VectorKind]:
    found = set()
    for index, number in enumerate(numbers):
        kind = _OF_NUMBER.get(number)
        if kind is None:
            field = f"options.kinds[{index}]"
            raise ArgumentInvalid(
                f"{field} is {number}, which is no kind of vector",
                "name EMBEDDING_KIND_DENSE, _SPARSE or _MULTI_VECTOR, or leave the list empty",
                violations=[Violation(field, "is no kind of vector")],
            )
        found.add(kind)
    return frozenset(found) or DENSE_ALONE
