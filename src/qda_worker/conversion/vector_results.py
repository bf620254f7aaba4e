"""A text's vectors as its part of a response."""

from __future__ import annotations

from collections.abc import Callable

from qda.v1 import embedding_pb2 as pb
from qda_worker.conversion.tensors import tensor
from qda_worker.conversion.vectors_asked import VectorsAsked
from qda_worker.models.vectors import SparseWeights, TextVectors


def fill_vectors(asked: VectorsAsked) -> Callable[[pb.EmbedResult, str, TextVectors], None]:
    """Puts the vectors that there are into a result. What it makes raises ArgumentInvalid as `tensor` does."""

    def fill(result: pb.EmbedResult, _text: str, answer: TextVectors) -> None:
        if answer.dense is not None:
            result.dense.CopyFrom(tensor(answer.dense, asked.element_type))
        if answer.sparse is not None:
            result.sparse.CopyFrom(sparse_vector(answer.sparse))
        if answer.multi is not None:
            result.multi_vector.CopyFrom(tensor(answer.multi, asked.element_type))

    return fill


def sparse_vector(weights: SparseWeights) -> pb.SparseVector:
    """Weights of tokens, in their order."""
    return pb.SparseVector(
        token_ids=weights.ids.tolist(), weights=weights.weights.tolist(), tokens=weights.tokens
    )
