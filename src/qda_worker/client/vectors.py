"""Tensors as arrays: numpy's where numpy is installed, else the standard library's. Always single precision."""

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

_BYTES: Final = {embedding_pb2.ELEMENT_TYPE_FLOAT32: 4, embedding_pb2.ELEMENT_TYPE_FLOAT16: 2}


def vector(tensor: embedding_pb2.Tensor) -> "Vector":
    """The numbers of a tensor of one axis.

    Raises:
        ServerFailed: the tensor contradicts itself.
    """
    (_,) = _shape(tensor, axes=1)
    numpy = _numpy()
    if numpy is None:
        return _plain(tensor)
    flat: Vector = _with_numpy(numpy, tensor)
    return flat


def matrix(tensor: embedding_pb2.Tensor) -> "Matrix":
    """The rows of a tensor of two axes. Raises as `vector` does."""
    rows, columns = _shape(tensor, axes=2)
    numpy = _numpy()
    if numpy is None:
        flat = _plain(tensor)
        return tuple(flat[row * columns : (row + 1) * columns] for row in range(rows))
    shaped: Matrix = _with_numpy(numpy, tensor).reshape(rows, columns)
    return shaped


def joined(parts: "Sequence[Matrix]") -> "Matrix":
    """The rows of successive parts of one matrix, at least one part."""
    if len(parts) == 1:
        return parts[0]
    numpy = _numpy()
    if numpy is None:
        return tuple(row for part in parts for row in part)
    whole: Matrix = numpy.concatenate(parts)
    return whole


@cache
def _numpy() -> ModuleType | None:
    """numpy, imported when the first vector arrives: `import qda_worker.client` must stay quick."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _shape(tensor: embedding_pb2.Tensor, axes: int) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    elements = prod(shape)
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        found = len(tensor.values)
    else:
        width = _BYTES.get(tensor.element_type)
        if width is None:
            raise ServerFailed(
                f"a tensor has the element type {tensor.element_type}, which this client does not know"
            )
        found, rest = divmod(len(tensor.data), width)
        found = -1 if rest else found
    if len(shape) != axes or min(shape) < 0 or found != elements:
        raise ServerFailed(
            f"a tensor of shape {list(shape)} holds {len(tensor.data)} bytes and {len(tensor.values)} values"
        )
    return shape


def _plain(tensor: embedding_pb2.Tensor) -> "array[float]":
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        return array("f", tensor.values)
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16:
        return array("f", struct.unpack(f"<{len(tensor.data) // 2}e", tensor.data))
    numbers = array("f", tensor.data)  # bytes are taken as they lie in memory
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _with_numpy(numpy: Any, tensor: embedding_pb2.Tensor) -> Any:  # numpy may be absent: no types of it here
    if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT_LIST:
        return numpy.array(tensor.values, dtype=numpy.float32)
    wire = "<f2" if tensor.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16 else "<f4"
    return numpy.frombuffer(tensor.data, dtype=wire).astype(
        numpy.float32
    )  # a copy, so that it can be written to
