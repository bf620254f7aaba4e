"""Vectors: their options, their messages, the bound of their size, and the parts of a stream."""

from dataclasses import replace
from typing import Any, Final
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.catalog.catalog import Precision, Task
from qda.v1 import embedding_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.embedding import (
    EMBEDDING_KINDS,
    EmbeddingRequest,
    build_embed,
    build_embed_stream_parts,
    build_tensor,
    check_response_size,
    check_supported,
    fill_vectors,
    max_result_bytes,
    parse_embed,
    parse_vector_spec,
)
from qda_worker.errors import ArgumentInvalid
from qda_worker.models.base import LongText, ModelInfo, Usage, VectorKind
from qda_worker.models.vectors import SparseWeights, TextVectors
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Success, Timings

FLOAT32, FLOAT16 = pb.ELEMENT_TYPE_FLOAT32, pb.ELEMENT_TYPE_FLOAT16
KINDS: Final = [pb.EMBEDDING_KIND_DENSE, pb.EMBEDDING_KIND_SPARSE]
INFO: Final = ModelInfo(
    "m", Task.EMBEDDING, "s", "r", Precision.FP32, None, 8192,
    dimension=1024, vector_kinds=tuple(VectorKind), multi_dimension=1024, max_token_bytes=48,
)  # fmt: skip


def embedding_request(*ids: str, **fields: Any) -> EmbeddingRequest:
    texts = [text_pb2.Text(content="x", id=text_id) for text_id in ids]
    return parse_embed(pb.EmbedRequest(texts=texts, **fields))


@given(st.lists(st.floats(-60000, 60000, width=32), min_size=1, max_size=40))
def test_tensors_hold_the_numbers_little_endian(values: list[float]) -> None:
    row = np.array(values, np.float32)
    message = build_tensor(row, FLOAT32)
    assert list(message.shape) == [len(values)]
    np.testing.assert_array_equal(np.frombuffer(message.data, "<f4"), row)
    half = np.frombuffer(build_tensor(row, FLOAT16).data, "<f2").astype(np.float32)
    np.testing.assert_allclose(half, row, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("number", [1e30, -65_520.0])
def test_a_number_beyond_float16_is_refused_and_never_becomes_infinite(number: float) -> None:
    with pytest.raises(ArgumentInvalid, match="65,504") as refused:
        build_tensor(np.array([1.0, number], np.float32), FLOAT16)
    assert "FLOAT32" in refused.value.remedy


def test_a_number_beyond_float16_fails_only_its_own_text() -> None:
    """No real model returns one, so the outcomes are made here."""
    request = embedding_request("a", "b", options=pb.EmbeddingOptions(element_type=FLOAT16))
    outcomes = [
        Success(TextVectors(np.full(4, number, np.float32)), Usage(3, 3, False, 1), Timings())
        for number in (1e6, 1.0)
    ]
    serving = SelectedModel(Mock(info=INFO), "digest", "generation")
    failed, answered = build_embed(request, outcomes, serving, 0.0).results
    assert [failed.HasField("status"), answered.HasField("status")] == [True, False]
    assert failed.status.message.startswith("ARGUMENT_INVALID")
    assert "ELEMENT_TYPE_FLOAT32" in failed.status.message
    assert not failed.HasField("dense")
    assert (failed.id, failed.usage.used_token_count) == ("a", 3)
    [part] = build_embed_stream_parts(request, 0, outcomes[0], INFO)
    assert part.item.HasField("status")


@given(
    st.integers(1, 300), st.sampled_from([FLOAT32, FLOAT16]), st.sets(st.sampled_from(VectorKind), min_size=1)
)
def test_the_bound_of_a_result_is_never_too_small(
    tokens: int, element: pb.ElementType.ValueType, kinds: set[VectorKind]
) -> None:
    options = pb.EmbeddingOptions(kinds=[EMBEDDING_KINDS[kind] for kind in kinds], element_type=element)
    spec = parse_vector_spec(options, LongText.CUT)
    most = 2**31 - 1
    result = pb.EmbedResult(
        usage=text_pb2.TextUsage(
            outcome=text_pb2.LONG_TEXT_OUTCOME_WINDOWED, token_count=most, used_token_count=most, limit_count=most,
            limit_unit=text_pb2.LENGTH_UNIT_TOKENS, window_count=most, character_count=most,
        )
    )  # fmt: skip
    sparse = SparseWeights(
        np.full(tokens, 250_000, np.int32), np.ones(tokens, np.float32), ("x" * 48,) * tokens
    )
    vectors = TextVectors(
        np.ones(1024, np.float32) if VectorKind.DENSE in kinds else None,
        sparse if VectorKind.SPARSE in kinds else None,
        np.ones((tokens, 1024), np.float32) if VectorKind.MULTI_VECTOR in kinds else None,
    )
    fill_vectors(result, "", vectors, element_type=spec.element_type)
    bound = max_result_bytes(tokens, spec, INFO)
    assert pb.EmbedResponse(results=[result]).ByteSize() <= bound
    assert bound - result.ByteSize() < 120 + 8 * tokens


def test_the_largest_dense_response_fits_into_a_message() -> None:
    spec = parse_vector_spec(pb.EmbeddingOptions(), LongText.CUT)
    size = 10_000 * max_result_bytes(0, spec, INFO)
    check_response_size(size, 10_000)
    with pytest.raises(ArgumentInvalid, match="at most"):
        check_response_size(2 * size, 20_000)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (pb.EmbeddingOptions(kinds=[pb.EMBEDDING_KIND_UNSPECIFIED]), "options.kinds[0]"),
        (pb.EmbeddingOptions(kinds=[*KINDS, 9]), "options.kinds[2]"),  # type: ignore[list-item]  # no such kind
        (pb.EmbeddingOptions(dimension_count=-1), "options.dimension_count"),
    ],
)
def test_options_that_no_model_supports_are_refused_by_field(
    options: pb.EmbeddingOptions, field: str
) -> None:
    with pytest.raises(ArgumentInvalid) as refused:
        parse_vector_spec(options, LongText.CUT)
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("count", [0, 256, 1024])
def test_dimensions_that_the_model_supports_are_allowed(count: int) -> None:
    info = replace(INFO, shortened_dimensions=(512, 256))
    check_supported(parse_vector_spec(pb.EmbeddingOptions(dimension_count=count), LongText.CUT), info)


@pytest.mark.parametrize("count", [1, 255, 2048])
def test_other_dimensions_are_refused_with_the_supported_ones(count: int) -> None:
    info = replace(INFO, shortened_dimensions=(512, 256))
    with pytest.raises(ArgumentInvalid, match=r"1024, or shortened: 512, 256"):
        check_supported(parse_vector_spec(pb.EmbeddingOptions(dimension_count=count), LongText.CUT), info)


def stream_parts(tokens: int, max_bytes: int) -> list[pb.EmbedStreamResponse]:
    weights = SparseWeights(
        np.arange(tokens, dtype=np.int32), np.ones(tokens, np.float32), ("▁Wort",) * tokens
    )
    vectors = TextVectors(np.ones(4, np.float32), sparse=weights)
    request = embedding_request(
        "long", options=pb.EmbeddingOptions(kinds=KINDS), long_text_policy=text_pb2.LONG_TEXT_POLICY_WINDOW
    )
    outcome = Success(vectors, Usage(tokens, tokens, False, 9), Timings())
    return list(build_embed_stream_parts(request, 0, outcome, INFO, max_bytes))


def test_a_sparse_vector_beyond_the_message_limit_fails_only_its_text() -> None:
    *_, last = stream_parts(1_000, max_bytes=10_000)
    assert last.ByteSize() < 10_000
    assert last.item.id == "long"
    assert not last.item.HasField("sparse")
    assert last.item.status.message.startswith("TEXT_TOO_LONG: its sparse vector takes ")
    assert last.item.status.message.endswith("Remedy: split the text, or use the long-text policy CUT")


def test_a_sparse_vector_within_the_message_limit_is_sent_with_its_text() -> None:
    *_, last = stream_parts(1_000, max_bytes=20_000)
    assert last.ByteSize() <= 20_000
    assert len(last.item.sparse.token_ids) == 1_000
    assert not last.item.HasField("status")
