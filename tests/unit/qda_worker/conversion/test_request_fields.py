"""Small conversions: labels, tensors, vectors asked for, sets of texts, and a log that never quotes an error."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.catalog.catalog import Precision, Task
from qda.v1 import embedding_pb2, text_pb2
from qda_worker.conversion.embedding import KINDS as NUMBERS
from qda_worker.conversion.embedding import (
    fill_vectors,
    require_able,
    require_fitting,
    result_bytes,
    tensor,
    vectors_asked,
)
from qda_worker.conversion.request_fields import check_labels, common_label
from qda_worker.conversion.rpc_status import duration
from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.errors import ArgumentInvalid, TextEmpty
from qda_worker.models.base import LongText, ModelInfo, Usage, VectorKind
from qda_worker.models.vectors import SparseWeights, TextVectors
from qda_worker.scheduling.jobs import Answered, Failed, Timings

TEXT: Final = "Frau Müller sagte"
FLOAT32, FLOAT16 = embedding_pb2.ELEMENT_TYPE_FLOAT32, embedding_pb2.ELEMENT_TYPE_FLOAT16


@pytest.mark.parametrize(
    ("label", "common"),
    [("PER", "PERSON"), ("LOC", "LOCATION"), ("GPE", "LOCATION"), ("ORG", "ORGANIZATION"), ("MISC", "OTHER")],
)
def test_labels_of_any_model_have_a_common_name(label: str, common: str) -> None:
    assert common_label(label) == common


def test_labels_that_a_model_never_gives_are_refused_in_the_scheme_that_was_asked_for() -> None:
    known = ("LOC", "MISC", "ORG", "PER")
    assert check_labels(["PERSON", "OTHER"], known, common=True) == {"PERSON", "OTHER"}
    with pytest.raises(ArgumentInvalid) as caught:
        check_labels(["LOC", "PERSON"], known, common=False)
    assert [violation.field for violation in caught.value.violations] == ["labels[1]"]


@given(st.lists(st.floats(-60000, 60000, width=32), min_size=1, max_size=40))
def test_numbers_survive_the_wire(values: list[float]) -> None:
    row = np.array(values, np.float32)
    message = tensor(row, FLOAT32)
    assert list(message.shape) == [len(values)]
    np.testing.assert_array_equal(np.frombuffer(message.data, "<f4"), row)
    half = np.frombuffer(tensor(row, FLOAT16).data, "<f2").astype(np.float32)
    np.testing.assert_allclose(half, row, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("number", [1e30, -65_520.0])
def test_a_number_beyond_half_precision_is_told_and_never_becomes_infinite(number: float) -> None:
    with pytest.raises(ArgumentInvalid, match="65,504") as refused:
        tensor(np.array([1.0, number], np.float32), FLOAT16)
    assert "FLOAT32" in refused.value.remedy


KINDS: Final = [embedding_pb2.EMBEDDING_KIND_DENSE, embedding_pb2.EMBEDDING_KIND_SPARSE]
INFO: Final = ModelInfo(
    "m", Task.EMBEDDING, "s", "r", Precision.FP32, None, 8192,
    dimension=1024, vector_kinds=tuple(VectorKind), multi_dimension=1024, longest_token=48,
)  # fmt: skip


@given(
    st.integers(1, 300), st.sampled_from([FLOAT32, FLOAT16]), st.sets(st.sampled_from(VectorKind), min_size=1)
)
def test_the_size_of_a_result_is_never_estimated_too_small(
    tokens: int, element: embedding_pb2.ElementType.ValueType, kinds: set[VectorKind]
) -> None:
    options = embedding_pb2.EmbeddingOptions(kinds=[NUMBERS[kind] for kind in kinds], element_type=element)
    asked = vectors_asked(options, LongText.CUT)
    most = 2**31 - 1
    result = embedding_pb2.EmbedResult(
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
    fill_vectors(asked)(result, "", vectors)
    estimated = result_bytes(tokens, asked, INFO)
    assert embedding_pb2.EmbedResponse(results=[result]).ByteSize() <= estimated
    assert estimated - result.ByteSize() < 120 + 8 * tokens


def test_the_largest_dense_answer_fits_a_message() -> None:
    asked = vectors_asked(embedding_pb2.EmbeddingOptions(), LongText.CUT)
    size = 10_000 * result_bytes(0, asked, INFO)
    require_fitting(size, 10_000)
    with pytest.raises(ArgumentInvalid, match="at most"):
        require_fitting(2 * size, 20_000)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (
            embedding_pb2.EmbeddingOptions(kinds=[embedding_pb2.EMBEDDING_KIND_UNSPECIFIED]),
            "options.kinds[0]",
        ),
        (embedding_pb2.EmbeddingOptions(kinds=[*KINDS, 9]), "options.kinds[2]"),  # type: ignore[list-item]  # no such kind
        (embedding_pb2.EmbeddingOptions(dimension_count=-1), "options.dimension_count"),
    ],
)
def test_what_no_model_gives_is_refused_by_its_field(
    options: embedding_pb2.EmbeddingOptions, field: str
) -> None:
    with pytest.raises(ArgumentInvalid) as refused:
        vectors_asked(options, LongText.CUT)
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("count", [0, 256, 1024])
def test_dimensions_that_the_model_gives_are_allowed(count: int) -> None:
    info = replace(INFO, shortened_dimensions=(512, 256))
    require_able(vectors_asked(embedding_pb2.EmbeddingOptions(dimension_count=count), LongText.CUT), info)


@pytest.mark.parametrize("count", [1, 255, 2048])
def test_other_dimensions_are_refused_with_those_that_there_are(count: int) -> None:
    info = replace(INFO, shortened_dimensions=(512, 256))
    with pytest.raises(ArgumentInvalid, match=r"1024, or shortened: 512, 256"):
        require_able(vectors_asked(embedding_pb2.EmbeddingOptions(dimension_count=count), LongText.CUT), info)


@given(st.floats(0, 1e6))
def test_durations_keep_their_nanoseconds(seconds: float) -> None:
    made = duration(seconds)
    assert made.seconds + made.nanos / 1e9 == pytest.approx(seconds, abs=1e-6)


words = st.sampled_from(["", "a", "b", "c", "d"])


@given(st.lists(words, min_size=1, max_size=12), st.lists(words, max_size=12))
def test_sets_see_the_vectors_of_their_own_texts(first: list[str], second: list[str]) -> None:
    sets = DistinctTexts.of((first, second))
    assert sets.texts == list(dict.fromkeys([*first, *second]))
    outcomes = [
        Answered(
            TextVectors(np.array([ord(text), 1.0], np.float32)),
            Usage(1, 1, text == "a", 1 + (text == "b")),
            Timings(compute=1.0),
        )
        if text
        else Failed(TextEmpty("empty"), Timings())
        for text in sets.texts
    ]
    encoded = EncodedSets(sets)
    for start in range(0, len(outcomes), 3):
        encoded.add(outcomes[start : start + 3])
    assert encoded.encoded == sum(map(bool, sets.texts))
    assert encoded.timings.compute == encoded.encoded
    assert (encoded.cut, encoded.windowed) == ([*first, *second].count("a"), [*first, *second].count("b"))
    for which, contents in enumerate((first, second)):
        there = [position for position, text in enumerate(contents) if text]
        assert encoded.positions(which).tolist() == there
        rows = encoded.rows(which)
        angles = [row[0] / row[1] for row in rows.rows(0, len(rows))]
        assert angles == pytest.approx([ord(contents[position]) for position in there], rel=1e-5)
        assert [position for position, _ in encoded.failures(which)] == [
            position for position, text in enumerate(contents) if not text
        ]
