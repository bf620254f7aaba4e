"""Vectors as the proto's tensors: little-endian bytes, or a list of numbers for clients that cannot read bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qda.v1 import embedding_pb2
from qda_worker.errors import ArgumentInvalid

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
