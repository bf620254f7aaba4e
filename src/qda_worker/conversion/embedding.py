"""What a request for vectors asks for.

One text's vectors as the parts of EmbedStream.

A text's vectors as its part of a response.

How many bytes vectors take in a message, at most; counted before they are computed.

Vectors as the proto's tensors: little-endian bytes, or a list of numbers for clients that cannot read bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qda.v1 import embedding_pb2, text_pb2
from qda.v1 import embedding_pb2 as pb
from qda_worker.conversion.metadata import usage
from qda_worker.conversion.request_fields import element_type
from qda_worker.conversion.rpc_status import status_of
from qda_worker.errors import ArgumentInvalid, TextTooLong, Violation, WorkerError
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import LongText, ModelInfo, VectorKind
from qda_worker.models.vectors import DENSE_ALONE, SparseWeights, TextVectors, VectorOptions
from qda_worker.scheduling.jobs import Failed, Outcome

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


ELEMENT_BYTES: Final[Mapping[int, int]] = {
    embedding_pb2.ELEMENT_TYPE_FLOAT32: 4,
    embedding_pb2.ELEMENT_TYPE_FLOAT16: 2,
    embedding_pb2.ELEMENT_TYPE_FLOAT_LIST: 4,
}
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)


def tensor(
    values: NDArray[np.float32], element_type: embedding_pb2.ElementType.ValueType
) -> embedding_pb2.Tensor:
    """Numbers of any shape, float32, as a tensor.

    float16 rounds to nearest. Raises ArgumentInvalid for a number that float16 would make infinite.
    """
    message = embedding_pb2.Tensor(shape=values.shape, element_type=element_type)
    if element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        message.values.extend(values.ravel().tolist())
    elif element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16:
        if values.size and np.abs(values).max() > _FLOAT16_MAX:
            raise ArgumentInvalid(
                f"the vector has a number beyond {_FLOAT16_MAX:,.0f}, the largest of ELEMENT_TYPE_FLOAT16",
                "ask for ELEMENT_TYPE_FLOAT32, or for normalised vectors",
            )
        message.data = values.astype("<f2").tobytes()
    else:
        message.data = values.astype("<f4", copy=False).tobytes()
    return message


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


# The contract's; a text's sparse vector alone may pass it, with some fifty thousand distinct tokens.
MAX_PART_BYTES: Final = 2**20
# Numbers in a part, at most; the rest is for what stands around them.
_ROWS_BYTES: Final = MAX_PART_BYTES - 1024
# An item beside its sparse vector: id, usage, field numbers.
_ITEM_BYTES: Final = 1024
# The same for lists of numbers: Python builds one by one, and the event loop waits.
_LIST_BYTES: Final = 2**18


def parts_of(
    index: int,
    text: text_pb2.Text,
    outcome: Outcome[Any],
    info: ModelInfo,
    asked: VectorsAsked,
    most_bytes: int = MAX_RESPONSE_BYTES,
) -> Iterator[pb.EmbedStreamResponse]:
    """The rows of the text at `index` of the request, dense before multi-vectors, then the item that ends it.

    most_bytes: of a message; a sparse vector beyond it, which travels in one piece, is that text's error.
    """
    item = pb.EmbedStreamItem(item_index=index, id=text.id)
    if isinstance(outcome, Failed):
        item.status.CopyFrom(status_of(outcome.error))
    else:
        item.usage.CopyFrom(usage(outcome.usage, info, text.content))
        vectors = outcome.result
        try:
            if vectors.dense is not None:
                yield from _rows(index, pb.EMBEDDING_KIND_DENSE, vectors.dense[np.newaxis], asked)
            if vectors.multi is not None:
                yield from _rows(index, pb.EMBEDDING_KIND_MULTI_VECTOR, vectors.multi, asked)
                item.multi_vector_row_count = len(vectors.multi)
            if vectors.sparse is not None:
                item.sparse.CopyFrom(_fitting(sparse_vector(vectors.sparse), most_bytes))
        except WorkerError as error:
            item.status.CopyFrom(status_of(error))
    yield pb.EmbedStreamResponse(item=item)


def _fitting(vector: pb.SparseVector, most_bytes: int) -> pb.SparseVector:
    """Raises TextTooLong for a vector that no message could hold."""
    size = vector.ByteSize() + _ITEM_BYTES
    if size > most_bytes:
        raise TextTooLong(
            f"its sparse vector takes {size} bytes, and a message at most {most_bytes}",
            "split the text, or ask for the long-text policy CUT",
        )
    return vector


def _rows(
    index: int, kind: pb.EmbeddingKind.ValueType, rows: NDArray[np.float32], asked: VectorsAsked
) -> Iterator[pb.EmbedStreamResponse]:
    """Raises ArgumentInvalid as `tensor` does: before the first part, since only dense rows can be out of range."""
    is_list = asked.element_type == pb.ELEMENT_TYPE_FLOAT_LIST
    room = _LIST_BYTES if is_list else _ROWS_BYTES
    step = max(1, room // (rows.shape[1] * ELEMENT_BYTES[asked.element_type]))
    for start in range(0, len(rows), step):
        part = tensor(rows[start : start + step], asked.element_type)
        yield pb.EmbedStreamResponse(
            rows=pb.EmbedStreamRows(item_index=index, kind=kind, row_offset=start, rows=part)
        )


# A result without its id and numbers, at most: usage, shapes and the lengths of the parts; a test measures
# it.
_RESULT_BYTES: Final = 120
# A response beside its results: provenance and timings.
_ENVELOPE_BYTES: Final = 4096
# A sparse weight beside its token: the id as a varint, the weight, and the token's field and length.
_ENTRY_BYTES: Final = 5 + 4 + 3


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
