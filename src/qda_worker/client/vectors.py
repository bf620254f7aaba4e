"""Convert tensors of responses to arrays in single precision.

The arrays are numpy's if numpy is installed, else `array.array("f")` from the standard library: the base install does
not bring numpy. numpy is imported when the first vector arrives, to keep `import qda_worker.client` fast.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from functools import cache
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from qda.v1 import embedding_pb2
from qda_worker.client.errors import ServerFailed

if TYPE_CHECKING:
    from qda_worker.client.results import Matrix, Vector

# Bytes of one element in `Tensor.data`.
_ELEMENT_BYTES: Final = {embedding_pb2.ELEMENT_TYPE_FLOAT32: 4, embedding_pb2.ELEMENT_TYPE_FLOAT16: 2}


def vector(tensor: embedding_pb2.Tensor) -> "Vector":
    """Return the elements of a tensor of shape [n].

    Raises:
        ServerFailed: when the shape does not match the elements, or the element type is unknown.
    """
    (_,) = _checked_shape(tensor, axes=1)
    numpy = _numpy()
    if numpy is None:
        return _to_array(tensor)
    elements: Vector = _to_numpy(numpy, tensor)
    return elements


def matrix(tensor: embedding_pb2.Tensor) -> "Matrix":
    """Return the rows of a tensor of shape [rows, columns].

    Raises:
        ServerFailed: as for `vector`.
    """
    rows, columns = _checked_shape(tensor, axes=2)
    numpy = _numpy()
    if numpy is None:
        elements = _to_array(tensor)
        return tuple(elements[row * columns : (row + 1) * columns] for row in range(rows))
    shaped: Matrix = _to_numpy(numpy, tensor).reshape(rows, columns)
    return shaped


def concatenate(parts: "Sequence[Matrix]") -> "Matrix":
    """Return the rows of several matrices, at least one, as one matrix."""
    if len(parts) == 1:
        return parts[0]
    numpy = _numpy()
    if numpy is None:
        return tuple(row for part in parts for row in part)
    whole: Matrix = numpy.concatenate(parts)
    return whole


@cache
def _numpy() -> ModuleType | None:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _checked_shape(tensor: embedding_pb2.Tensor, axes: int) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        count = len(tensor.values)
    else:
        element_bytes = _ELEMENT_BYTES.get(tensor.element_type)
        if element_bytes is None:
            raise ServerFailed(
                f"a tensor has the element type {tensor.element_type}, which this client does not know"
            )
        count, rest = divmod(len(tensor.data), element_bytes)
        if rest:
            count = -1
    if len(shape) != axes or min(shape) < 0 or count != prod(shape):
        raise ServerFailed(
            f"a tensor of shape {list(shape)} holds {len(tensor.data)} bytes and {len(tensor.values)} values"
        )
    return shape


def _to_array(tensor: embedding_pb2.Tensor) -> "array[float]":
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        return array("f", tensor.values)
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16:
        return array("f", struct.unpack(f"<{len(tensor.data) // 2}e", tensor.data))
    elements = array(
        "f", tensor.data
    )  # reads the bytes in the machine's byte order; the tensor's are little-endian
    if sys.byteorder == "big":
        elements.byteswap()
    return elements


def _to_numpy(numpy: Any, tensor: embedding_pb2.Tensor) -> Any:  # Any: numpy's types may not be installed
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        return numpy.array(tensor.values, dtype=numpy.float32)
    dtype = "<f2" if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16 else "<f4"
    # `astype` copies: an array from `frombuffer` alone would be read-only.
    return numpy.frombuffer(tensor.data, dtype=dtype).astype(numpy.float32)
