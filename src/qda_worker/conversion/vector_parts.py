"""One text's vectors as the parts of EmbedStream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qda.v1 import embedding_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.statuses import status_of
from qda_worker.conversion.tensors import ELEMENT_BYTES, tensor
from qda_worker.conversion.told import usage
from qda_worker.conversion.vector_results import sparse_vector
from qda_worker.conversion.vectors_asked import VectorsAsked
from qda_worker.errors import TextTooLong, WorkerError
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import ModelInfo
from qda_worker.scheduling.work import Failed, Outcome

MAX_PART_BYTES: Final = 2**20
"""The contract's; a text's sparse vector alone may pass it, with some fifty thousand distinct tokens."""
_ROWS_BYTES: Final = MAX_PART_BYTES - 1024
"""Numbers in a part, at most; the rest is for what stands around them."""
_ITEM_BYTES: Final = 1024
"""An item beside its sparse vector: id, usage, field numbers."""
_LIST_BYTES: Final = 2**18
"""The same for lists of numbers: Python builds one by one, and the event loop waits."""


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
