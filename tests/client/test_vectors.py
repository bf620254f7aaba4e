"""Tensors become arrays with the same numbers, with and without numpy."""

import struct
from array import array
from importlib.util import find_spec
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import embedding_pb2
from qda_worker.client import vectors
from qda_worker.client.errors import ServerFailed

FLOAT32: Final = embedding_pb2.ELEMENT_TYPE_FLOAT32
FLOAT16: Final = embedding_pb2.ELEMENT_TYPE_FLOAT16
FLOAT_LIST: Final = embedding_pb2.ELEMENT_TYPE_FLOAT_LIST


def tensor(numbers: list[float], element_type: Any, shape: list[int] | None = None) -> embedding_pb2.Tensor:
    sent = embedding_pb2.Tensor(shape=shape or [len(numbers)], element_type=element_type)
    if element_type == FLOAT_LIST:
        sent.values.extend(numbers)
    else:
        sent.data = struct.pack(f"<{len(numbers)}{'e' if element_type == FLOAT16 else 'f'}", *numbers)
    return sent


@given(st.lists(st.floats(width=16, allow_nan=False)), st.sampled_from([FLOAT32, FLOAT16, FLOAT_LIST]))
def test_each_element_type_gives_the_numbers_that_were_sent(numbers: list[float], element_type: Any) -> None:
    sent = tensor(numbers, element_type)
    assert list(vectors.vector(sent)) == numbers
    assert list(vectors._to_array(sent)) == numbers


def test_a_vector_is_a_buffer_of_single_precision_numbers() -> None:
    found: Any = vectors.vector(tensor([1.5, -2.0], FLOAT32))
    view = memoryview(found)
    assert (view.format, view.tolist()) == ("f", [1.5, -2.0])


def test_the_kind_of_array_follows_whether_numpy_is_installed() -> None:
    found = vectors.vector(tensor([1.0], FLOAT32))
    expected = "ndarray" if find_spec("numpy") else "array"
    assert type(found).__name__ == expected


def test_a_matrix_has_its_rows() -> None:
    rows = vectors.matrix(tensor([1, 2, 3, 4, 5, 6], FLOAT32, shape=[3, 2]))
    assert [list(row) for row in rows] == [[1, 2], [3, 4], [5, 6]]


def test_a_vector_is_writable() -> None:
    found = vectors.vector(tensor([1.0, 2.0], FLOAT32))
    found[0] = 9.0
    assert list(found) == [9.0, 2.0]


@pytest.mark.parametrize(
    "broken",
    [
        embedding_pb2.Tensor(shape=[2], element_type=FLOAT32, data=b"1234"),
        embedding_pb2.Tensor(shape=[1], element_type=FLOAT32, data=b"12345"),
        embedding_pb2.Tensor(shape=[-1], element_type=FLOAT32, data=b""),
        embedding_pb2.Tensor(shape=[1, 1], element_type=FLOAT32, data=b"1234"),
        embedding_pb2.Tensor(shape=[1], element_type=FLOAT_LIST),
        embedding_pb2.Tensor(shape=[1], data=b"1234"),
    ],
)
def test_an_inconsistent_tensor_is_an_error_of_the_worker(broken: embedding_pb2.Tensor) -> None:
    with pytest.raises(ServerFailed, match="tensor"):
        vectors.vector(broken)


def test_without_numpy_vectors_are_arrays_in_single_precision() -> None:
    assert vectors._to_array(tensor([0.1], FLOAT32)) == array("f", [0.1])
