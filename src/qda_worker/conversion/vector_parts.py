"""One text's vectors as the parts of EmbedStream."""

from __future__ import annotations

from collections.abc import Iterator

from qda.v1 import embedding_pb2 as pb


def parts_of(index: int, result: pb.EmbedResult) -> Iterator[pb.EmbedStreamResponse]:
    """The rows of the text at `index` of the request, then the item that ends it. A dense vector is one row, of a few
    KiB: far below the 1 MiB that a part may have.
    """
    if result.HasField("dense"):
        rows = pb.Tensor(
            shape=[1, *result.dense.shape],
            element_type=result.dense.element_type,
            data=result.dense.data,
            values=result.dense.values,
        )
        yield pb.EmbedStreamResponse(
            rows=pb.EmbedStreamRows(item_index=index, kind=pb.EMBEDDING_KIND_DENSE, row_offset=0, rows=rows)
        )
    item = pb.EmbedStreamItem(item_index=index, id=result.id)
    if result.HasField("status"):
        item.status.CopyFrom(result.status)
    if result.HasField("usage"):
        item.usage.CopyFrom(result.usage)
    yield pb.EmbedStreamResponse(item=item)
