"""Embed and EmbedStream: the request as a value, vectors as messages, and how many bytes they take.

A vector is sent as a `Tensor`: its shape and either little-endian bytes or, for clients that cannot read bytes, a
list of numbers. Embed sends all vectors in one message, so their size is bounded before anything is computed
(`max_result_bytes`, `check_response_size`). EmbedStream sends them in parts of at most 1 MiB.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qda.v1 import embedding_pb2 as pb
from qda_worker.conversion.metadata import build_provenance, build_timings, build_usage
from qda_worker.conversion.request_fields import (
    TextBatch,
    check_prompt,
    parse_enum,
    parse_enums,
    parse_long_text_policy,
    parse_priority,
    parse_texts,
)
from qda_worker.conversion.results import fill_results
from qda_worker.conversion.rpc_status import build_status
from qda_worker.errors import ArgumentInvalid, TextTooLong, Violation, WorkerError
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import LongText, ModelInfo, VectorKind
from qda_worker.models.vectors import DENSE_ONLY, SparseWeights, TextVectors, VectorOptions
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Failure, Lane, Outcome, Timings

# In the order in which an error message names the first kind that a model lacks.
EMBEDDING_KINDS: Final[Mapping[VectorKind, pb.EmbeddingKind.ValueType]] = {
    VectorKind.DENSE: pb.EMBEDDING_KIND_DENSE,
    VectorKind.SPARSE: pb.EMBEDDING_KIND_SPARSE,
    VectorKind.MULTI_VECTOR: pb.EMBEDDING_KIND_MULTI_VECTOR,
}
_VECTOR_KINDS: Final = {int(number): kind for kind, number in EMBEDDING_KINDS.items()}
_ELEMENT_TYPES: Final[Mapping[int, pb.ElementType.ValueType]] = {
    pb.ELEMENT_TYPE_UNSPECIFIED: pb.ELEMENT_TYPE_FLOAT32,
    pb.ELEMENT_TYPE_FLOAT32: pb.ELEMENT_TYPE_FLOAT32,
    pb.ELEMENT_TYPE_FLOAT16: pb.ELEMENT_TYPE_FLOAT16,
    pb.ELEMENT_TYPE_FLOAT_LIST: pb.ELEMENT_TYPE_FLOAT_LIST,
}
# Bytes of one number in a message.
_ELEMENT_BYTES: Final[Mapping[int, int]] = {
    pb.ELEMENT_TYPE_FLOAT32: 4,
    pb.ELEMENT_TYPE_FLOAT16: 2,
    pb.ELEMENT_TYPE_FLOAT_LIST: 4,
}
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)

# Bytes of a message of EmbedStream, as the proto promises. Only a sparse vector may exceed it, with about fifty
# thousand distinct tokens.
MAX_PART_BYTES: Final = 2**20
# Bytes of numbers in a part; the rest is for the fields around them.
_MAX_ROWS_BYTES: Final = MAX_PART_BYTES - 1024
# The same for lists of numbers: Python converts them one by one, which blocks the event loop.
_MAX_LIST_BYTES: Final = 2**18
# Bytes of an item in addition to its sparse vector: id, usage, field numbers.
_ITEM_BYTES: Final = 1024

# Upper bound in bytes of a result without its id and numbers: usage, shapes, lengths of the fields. A test measures it.
_RESULT_BYTES: Final = 120
# Bytes of a response in addition to its results: provenance and timings.
_RESPONSE_OVERHEAD_BYTES: Final = 4096
# Bytes of a sparse weight in addition to its token: the id as a varint, the weight, and the token's field and length.
_SPARSE_ENTRY_BYTES: Final = 5 + 4 + 3


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """The vectors that a request selects.

    Attributes:
        options: for the model.
        element_type: how the numbers of dense vectors and multi-vectors are sent; never unspecified.
    """

    options: VectorOptions
    element_type: pb.ElementType.ValueType

    @property
    def kinds(self) -> frozenset[VectorKind]:
        """The kinds of vectors."""
        return self.options.kinds

    @property
    def size_depends_on_tokens(self) -> bool:
        """Whether the size of a result depends on the number of tokens of its text."""
        return bool(self.kinds - {VectorKind.DENSE})


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A parsed EmbedRequest or EmbedStreamRequest.

    Attributes:
        texts: the texts to embed.
        model: the key of the model; empty for the default.
        vectors: which vectors.
        lane: the lane of the queue; None: by the size of the call.
    """

    texts: TextBatch
    model: str
    vectors: VectorSpec
    lane: Lane | None


def parse_embed(request: pb.EmbedRequest) -> EmbeddingRequest:
    """Parse an EmbedRequest.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    return _parse_embedding(request, None)


def parse_embed_stream(request: pb.EmbedStreamRequest) -> EmbeddingRequest:
    """Parse an EmbedStreamRequest.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    return _parse_embedding(request, Lane.BULK)


def _parse_embedding(
    request: pb.EmbedRequest | pb.EmbedStreamRequest, default: Lane | None
) -> EmbeddingRequest:
    return EmbeddingRequest(
        lane=parse_priority(request.priority, default),
        texts=parse_texts(request.texts),
        model=request.model,
        vectors=parse_vector_spec(
            request.options, parse_long_text_policy(request.long_text_policy), request.prompt_name
        ),
    )


def parse_vector_spec(options: pb.EmbeddingOptions, long_text: LongText, prompt_name: str = "") -> VectorSpec:
    """Parse the options for vectors. Which of them a model supports is checked by `check_supported`.

    Raises:
        ArgumentInvalid: when a field is out of range.
    """
    if options.dimension_count < 0:
        raise ArgumentInvalid(
            f"options.dimension_count is {options.dimension_count}",
            "leave it 0 for all dimensions",
            violations=[Violation("options.dimension_count", "is negative")],
        )
    vector_options = VectorOptions(
        long_text=long_text,
        kinds=_parse_kinds(options.kinds),
        dimension=options.dimension_count or None,
        normalize=options.normalize,
        prompt_name=prompt_name,
    )
    return VectorSpec(
        vector_options, parse_enum(_ELEMENT_TYPES, options.element_type, "options.element_type")
    )


def _parse_kinds(numbers: Iterable[int]) -> frozenset[VectorKind]:
    remedy = "use EMBEDDING_KIND_DENSE, _SPARSE or _MULTI_VECTOR, or leave the list empty"
    return parse_enums(_VECTOR_KINDS, numbers, "options.kinds", "a kind of vector", remedy) or DENSE_ONLY


def check_supported(spec: VectorSpec, info: ModelInfo) -> None:
    """Check that the model supports the kinds of vectors and their dimension, and has the prompt.

    Raises:
        ArgumentInvalid: when it does not.
    """
    check_prompt(spec.options.prompt_name, info)
    missing = [kind for kind in EMBEDDING_KINDS if kind in spec.kinds and kind not in info.vector_kinds]
    if missing:
        supported = ", ".join(pb.EmbeddingKind.Name(EMBEDDING_KINDS[kind]) for kind in info.vector_kinds)
        name = pb.EmbeddingKind.Name(EMBEDDING_KINDS[missing[0]])
        raise ArgumentInvalid(
            f'the model "{info.key}" does not support {name}',
            f"use {supported}, or a model whose embedding_kinds in ListModels include it",
            violations=[Violation("options.kinds", f"{name} is not supported by this model")],
        )
    dimension, shortened = spec.options.dimension, info.shortened_dimensions
    if dimension is not None and dimension != info.dimension and dimension not in shortened:
        allowed = ", ".join(map(str, shortened)) or "none"
        raise ArgumentInvalid(
            f'options.dimension_count is {dimension}; "{info.key}" supports {info.dimension}, or shortened: {allowed}',
            "leave it 0; ModelInfo.shortened_dimension_counts lists what a model supports",
            violations=[Violation("options.dimension_count", "is not supported by this model")],
        )


def max_result_bytes(token_count: int, spec: VectorSpec, info: ModelInfo) -> int:
    """Return an upper bound for the size of one text's result in a message, without its id.

    Args:
        token_count: Tokens of the text that the model uses; has no effect on dense vectors.
        spec: which vectors.
        info: the model.

    Returns:
        The size in bytes, never less than what the result will take.
    """
    element = _ELEMENT_BYTES[spec.element_type]
    size = _RESULT_BYTES
    if VectorKind.DENSE in spec.kinds:
        size += element * (spec.options.dimension or info.dimension or 0)
    if VectorKind.SPARSE in spec.kinds:
        size += token_count * (_SPARSE_ENTRY_BYTES + info.max_token_bytes)
    if VectorKind.MULTI_VECTOR in spec.kinds:
        size += token_count * element * (info.multi_dimension or 0)
    return size


def fits_response(result_bytes: int) -> bool:
    """Return whether results of this size, with their ids, fit into one response."""
    return result_bytes + _RESPONSE_OVERHEAD_BYTES <= MAX_RESPONSE_BYTES


def check_response_size(result_bytes: int, text_count: int) -> None:
    """Check that results of this size, with their ids, fit into one response.

    Raises:
        ArgumentInvalid: when they do not.
    """
    if not fits_response(result_bytes):
        raise ArgumentInvalid(
            f"the response could have {result_bytes} bytes or more; at most {MAX_RESPONSE_BYTES} are allowed",
            "send fewer texts at a time, use ELEMENT_TYPE_FLOAT16, or call EmbedStream",
            violations=[Violation("texts", f"the vectors of {text_count} texts do not fit into one message")],
        )


def build_embed(
    request: EmbeddingRequest, outcomes: Sequence[Outcome[Any]], selected: SelectedModel, started: float
) -> pb.EmbedResponse:
    """Build the response from the outcome of each text; `started` as in `build_timings`."""
    response = pb.EmbedResponse(provenance=build_provenance(selected, request.vectors.options))
    fill_answer = partial(fill_vectors, element_type=request.vectors.element_type)
    fill_results(response.results.add, request.texts, outcomes, selected.engine.info, fill_answer)
    response.timings.CopyFrom(build_timings((outcome.timings for outcome in outcomes), started))
    return response


def fill_vectors(
    result: pb.EmbedResult, _content: str, answer: TextVectors, *, element_type: pb.ElementType.ValueType
) -> None:
    """Fill the vectors that the answer has.

    Raises:
        ArgumentInvalid: see `build_tensor`.
    """
    if answer.dense is not None:
        result.dense.CopyFrom(build_tensor(answer.dense, element_type))
    if answer.sparse is not None:
        result.sparse.CopyFrom(_build_sparse_vector(answer.sparse))
    if answer.multi is not None:
        result.multi_vector.CopyFrom(build_tensor(answer.multi, element_type))


def build_tensor(values: NDArray[np.float32], element_type: pb.ElementType.ValueType) -> pb.Tensor:
    """Build a tensor from float32 numbers of any shape; float16 rounds to nearest.

    Raises:
        ArgumentInvalid: when a number is beyond the range of float16 and would become infinite.
    """
    message = pb.Tensor(shape=values.shape, element_type=element_type)
    if element_type == pb.ELEMENT_TYPE_FLOAT_LIST:
        message.values.extend(values.ravel().tolist())
    elif element_type == pb.ELEMENT_TYPE_FLOAT16:
        if values.size and np.abs(values).max() > _FLOAT16_MAX:
            raise ArgumentInvalid(
                f"the vector has a number beyond {_FLOAT16_MAX:,.0f}, the largest of ELEMENT_TYPE_FLOAT16",
                "use ELEMENT_TYPE_FLOAT32, or normalized vectors",
            )
        message.data = values.astype("<f2").tobytes()
    else:
        message.data = values.astype("<f4", copy=False).tobytes()
    return message


def _build_sparse_vector(weights: SparseWeights) -> pb.SparseVector:
    return pb.SparseVector(
        token_ids=weights.ids.tolist(), weights=weights.weights.tolist(), tokens=weights.tokens
    )


def build_embed_stream_header(request: EmbeddingRequest, selected: SelectedModel) -> pb.EmbedStreamResponse:
    """Build the first message of the stream."""
    provenance = build_provenance(selected, request.vectors.options)
    return pb.EmbedStreamResponse(header=pb.EmbedStreamHeader(provenance=provenance))


def build_embed_stream_parts(
    request: EmbeddingRequest,
    index: int,
    outcome: Outcome[Any],
    info: ModelInfo,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> Iterator[pb.EmbedStreamResponse]:
    """Build the messages of one text: dense rows, then rows of the multi-vector, then the item that ends it.

    Args:
        request: the request.
        index: the position of the text in the request.
        outcome: what the model's queue returned for it.
        info: the model that answered.
        max_bytes: the limit of one message. A sparse vector, which is never split, fails its text beyond it.
    """
    item = pb.EmbedStreamItem(item_index=index, id=request.texts.ids[index])
    if isinstance(outcome, Failure):
        item.status.CopyFrom(build_status(outcome.error))
    else:
        item.usage.CopyFrom(build_usage(outcome.usage, info, request.texts.contents[index]))
        vectors, element_type = outcome.result, request.vectors.element_type
        try:
            if vectors.dense is not None:
                yield from _build_rows(
                    index, pb.EMBEDDING_KIND_DENSE, vectors.dense[np.newaxis], element_type
                )
            if vectors.multi is not None:
                yield from _build_rows(index, pb.EMBEDDING_KIND_MULTI_VECTOR, vectors.multi, element_type)
                item.multi_vector_row_count = len(vectors.multi)
            if vectors.sparse is not None:
                sparse = _build_sparse_vector(vectors.sparse)
                _check_sparse_size(sparse, max_bytes)
                item.sparse.CopyFrom(sparse)
        except WorkerError as error:
            item.status.CopyFrom(build_status(error))
    yield pb.EmbedStreamResponse(item=item)


def build_embed_stream_trailer(timings: Iterable[Timings], started: float) -> pb.EmbedStreamResponse:
    """Build the last message of the stream; the arguments as in `build_timings`."""
    return pb.EmbedStreamResponse(trailer=pb.EmbedStreamTrailer(timings=build_timings(timings, started)))


def _build_rows(
    index: int,
    kind: pb.EmbeddingKind.ValueType,
    rows: NDArray[np.float32],
    element_type: pb.ElementType.ValueType,
) -> Iterator[pb.EmbedStreamResponse]:
    """Build the messages of a matrix [n, dimension].

    An error of `build_tensor` comes before the first message: only the single dense row can be out of range, because
    the rows of multi-vectors have length 1.
    """
    is_list = element_type == pb.ELEMENT_TYPE_FLOAT_LIST
    max_bytes = _MAX_LIST_BYTES if is_list else _MAX_ROWS_BYTES
    step = max(1, max_bytes // (rows.shape[1] * _ELEMENT_BYTES[element_type]))
    for start in range(0, len(rows), step):
        tensor = build_tensor(rows[start : start + step], element_type)
        yield pb.EmbedStreamResponse(
            rows=pb.EmbedStreamRows(item_index=index, kind=kind, row_offset=start, rows=tensor)
        )


def _check_sparse_size(vector: pb.SparseVector, max_bytes: int) -> None:
    size = vector.ByteSize() + _ITEM_BYTES
    if size > max_bytes:
        raise TextTooLong(
            f"its sparse vector takes {size} bytes; a message may have at most {max_bytes}",
            "split the text, or use the long-text policy CUT",
        )
