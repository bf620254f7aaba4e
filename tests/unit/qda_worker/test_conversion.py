"""Small conversions: labels, tensors, vectors asked for, sets of texts, and a log that never quotes an error."""

from __future__ import annotations

import io
import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import embedding_pb2
from qda_worker.conversion.labels import check_labels, common_label
from qda_worker.conversion.statuses import duration
from qda_worker.conversion.tensors import tensor
from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.errors import ArgumentInvalid, TextEmpty
from qda_worker.models.base import Usage
from qda_worker.models.vectors import TextVectors
from qda_worker.observability.logs import open_log
from qda_worker.scheduling.work import Answered, Failed, Timings

TEXT = "Frau Müller sagte"
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


@given(st.floats(0, 1e6))
def test_durations_keep_their_nanoseconds(seconds: float) -> None:
    made = duration(seconds)
    assert made.seconds + made.nanos / 1e9 == pytest.approx(seconds, abs=1e-6)


words = st.sampled_from(["", "a", "b", "c", "d"])


@given(st.lists(words, min_size=1, max_size=12), st.lists(words, max_size=12))
def test_sets_see_the_vectors_of_their_own_texts(first: list[str], second: list[str]) -> None:
    sets = DistinctTexts.of((first, second))
    assert sets.texts == list(dict.fromkeys([*first, *second]))
    usage = Usage(1, 1, False, 1)
    outcomes = [
        Answered(TextVectors(np.array([ord(text), 1.0], np.float32)), usage, Timings())
        if text
        else Failed(TextEmpty("empty"), Timings())
        for text in sets.texts
    ]
    encoded = EncodedSets(sets, outcomes)
    for which, contents in enumerate((first, second)):
        there = [position for position, text in enumerate(contents) if text]
        assert encoded.positions(which).tolist() == there
        assert [row[0] for row in encoded.vectors(which)] == [ord(contents[position]) for position in there]
        assert [position for position, _ in encoded.failures(which)] == [
            position for position, text in enumerate(contents) if not text
        ]


def test_the_log_tells_an_errors_type_and_place_and_never_its_message() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        log = open_log(logging.INFO, stream)
        log.info("call.ended", items=3)
        try:
            raise ValueError(TEXT)
        except ValueError:
            logging.getLogger("library").exception("it failed")
        logging.getLogger("library").info("chatter")
    finally:
        root.handlers, root.level = before, level
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["call.ended", "it failed"]
    assert lines[0]["items"] == 3
    assert (lines[1]["error"], lines[1]["logger"]) == ("ValueError", "library")
    assert "test_the_log_tells" in lines[1]["trace"]
    assert TEXT not in stream.getvalue()
