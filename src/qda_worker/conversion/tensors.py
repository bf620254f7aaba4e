"""Vectors as the proto's tensors: little-endian bytes, or a list of numbers for clients that cannot read bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qda.v1 import embedding_pb2

ELEMENT_BYTES: Final[Mapping[int, int]] = {
    embedding_pb2.ELEMENT_TYPE_FLOAT32: 4,
    embedding_pb2.ELEMENT_TYPE_FLOAT16: 2,
    embedding_pb2.ELEMENT_TYPE_FLOAT_LIST: 4,
}
_FLOAT16_MAX: Final = np.finfo(np.float16).max


def tensor(
    values: NDArray[np.float32], element_type: embedding_pb2.ElementType.ValueType
) -> embedding_pb2.Tensor:
    """Numbers of any shape, float32, as a tensor.

    float16 rounds to nearest; beyond its range stands its largest number, not infinity.
    """
    message = embedding_pb2.Tensor(shape=values.shape, element_type=element_type)
    if element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        message.values.extend(values.ravel().tolist())
    elif element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16:
        message.data = np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX).astype("<f2").tobytes()
    else:
        message.data = values.astype("<f4", copy=False).tobytes()
    return message
