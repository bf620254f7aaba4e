"""What a model answered once, as a lock keeps it, and how another day's answer is compared with it."""

import json
from typing import Any, Final

import pytest

from model_cache.catalog.expected_answers import (
    TOLERANCE,
    Kind,
    Question,
    answer_to_json,
    difference,
    parse_answer,
    recorded,
)
from model_cache.catalog.lock import dump_lock, load_lock, parse_lock
from model_cache.errors import LockInvalid

SAMPLES: Final[list[tuple[Question, Any, Any]]] = [
    (Question(Kind.LABEL, "a"), "positive", "negative"),
    (Question(Kind.PROBABILITIES, "a"), {"positive": 0.75, "negative": 0.25}, {"positive": 0.74, "negative": 0.26}),
    (Question(Kind.ENTITIES, "a"), [[0, 4, "PER"]], [[0, 5, "PER"]]),
    (Question(Kind.LABELS), ["LOC", "PER"], ["LOC"]),
    (Question(Kind.DIMENSION), 768, 769),
    (Question(Kind.VECTOR, "a"), [0.5, -0.25], [0.5, -0.252]),
    (Question(Kind.SIMILARITY, "a", "b"), 0.5, 0.502),
    (Question(Kind.SPARSE, "a"), {"ein": 0.25}, {"ein": 0.2, "zwei": 0.1}),
    (Question(Kind.MAX_SIMILARITY, "a", "b"), 0.5, float("nan")),
]  # fmt: skip


@pytest.mark.parametrize(("question", "value", "other"), SAMPLES, ids=lambda value: str(value)[:20])
def test_a_kept_answer_is_read_back_and_tells_another_one_apart(
    question: Question, value: Any, other: Any
) -> None:
    answer = recorded(question, value)

    assert parse_answer(json.loads(json.dumps(answer_to_json(answer)))) == answer
    assert difference(answer, value) == ""
    assert difference(answer, other)
    assert difference(answer, None)


def test_numbers_may_differ_by_the_tolerance_and_the_difference_names_both() -> None:
    answer = recorded(Question(Kind.PROBABILITIES, "a"), {"positive": 0.5, "negative": 0.5})
    near = {"positive": 0.5 + TOLERANCE / 2, "negative": 0.5 - TOLERANCE / 2}
    assert difference(answer, near) == ""
    far = difference(answer, {"positive": 0.7, "negative": 0.3})
    assert far == "positive is 0.7 instead of 0.5 (tolerance 0.001)"


def test_of_published_weights_only_those_that_were_published_count() -> None:
    answer = parse_answer({"kind": "sparse", "text": "a", "value": {"ein": 0.25}, "tolerance": 0.01})
    assert difference(answer, {"ein": 0.255, "zwei": 0.9}) == ""
    assert difference(answer, {"zwei": 0.9}) == "ein is 0 instead of 0.25 (tolerance 0.01)"


@pytest.mark.parametrize(
    "wrong",
    [
        [], None, {}, {"kind": "mood", "value": 1}, {"kind": "label", "value": 3}, {"kind": "vector", "value": [None]},
        {"kind": "entities", "value": [[1, 2]]}, {"kind": "dimension", "value": True},
        {"kind": "similarity", "value": float("inf")}, {"kind": "label", "value": "a", "tolerance": -1},
        {"kind": "label", "value": "a", "text": 5}, {"kind": "label"},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_mistake_of_the_lock_that_names_its_place(wrong: object) -> None:
    model = {"source": "a/b", "revision": "c", "files": {}, "answers": [wrong]}
    document = {"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"mood": model}}
    with pytest.raises(LockInvalid, match=r"x: models\.mood\.answers\[0\]: found"):
        parse_lock(json.dumps(document).encode(), "x")


def test_the_built_in_lock_holds_published_answers_of_all_four_models_each_with_its_source() -> None:
    lock = load_lock(None)
    assert lock is not None
    assert all(model.answers for model in lock.models.values())
    assert all(answer.source for model in lock.models.values() for answer in model.answers)


def test_a_lock_is_written_with_a_line_an_answer() -> None:
    answer = {"kind": "label", "text": 'ein "Zitat"', "value": "neutral"}
    model = {"source": "a/b", "revision": "c", "files": {}, "answers": [answer, answer]}
    text = dump_lock({"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"mood": model}}).decode()
    assert text.count(json.dumps(answer, ensure_ascii=False)) == 2
    assert json.loads(text)["models"]["mood"] == model
