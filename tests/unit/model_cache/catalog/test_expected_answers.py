"""Expected answers: how a lock stores them, and how a model's values are compared with them."""

import json
from typing import Any, Final

import pytest

from model_cache.catalog.expected_answers import (
    TOLERANCE,
    Question,
    QuestionKind,
    answer_to_json,
    build_answer,
    describe_difference,
    parse_answer,
)
from model_cache.catalog.lock import dump_lock, load_lock, parse_lock
from model_cache.errors import LockInvalid

SAMPLES: Final[list[tuple[Question, Any, Any]]] = [
    (Question(QuestionKind.LABEL, "a"), "positive", "negative"),
    (
        Question(QuestionKind.PROBABILITIES, "a"),
        {"positive": 0.75, "negative": 0.25},
        {"positive": 0.74, "negative": 0.26},
    ),
    (Question(QuestionKind.ENTITIES, "a"), [[0, 4, "PER"]], [[0, 5, "PER"]]),
    (Question(QuestionKind.LABELS), ["LOC", "PER"], ["LOC"]),
    (Question(QuestionKind.DIMENSION), 768, 769),
    (Question(QuestionKind.VECTOR, "a"), [0.5, -0.25], [0.5, -0.252]),
    (Question(QuestionKind.SIMILARITY, "a", "b"), 0.5, 0.502),
    (Question(QuestionKind.SPARSE, "a"), {"ein": 0.25}, {"ein": 0.2, "zwei": 0.1}),
    (Question(QuestionKind.MAX_SIMILARITY, "a", "b"), 0.5, float("nan")),
]  # fmt: skip


@pytest.mark.parametrize(("question", "value", "other"), SAMPLES, ids=lambda value: str(value)[:20])
def test_an_answer_is_read_back_and_differs_from_another_value(
    question: Question, value: Any, other: Any
) -> None:
    answer = build_answer(question, value)

    assert parse_answer(json.loads(json.dumps(answer_to_json(answer)))) == answer
    assert describe_difference(answer, value) == ""
    assert describe_difference(answer, other)
    assert describe_difference(answer, None)


def test_a_difference_above_the_tolerance_names_both_numbers() -> None:
    answer = build_answer(Question(QuestionKind.PROBABILITIES, "a"), {"positive": 0.5, "negative": 0.5})
    near = {"positive": 0.5 + TOLERANCE / 2, "negative": 0.5 - TOLERANCE / 2}
    assert describe_difference(answer, near) == ""
    far = describe_difference(answer, {"positive": 0.7, "negative": 0.3})
    assert far == "positive is 0.7 instead of 0.5 (tolerance 0.001)"


def test_only_the_published_weights_of_a_mapping_are_compared() -> None:
    answer = parse_answer({"kind": "sparse", "text": "a", "value": {"ein": 0.25}, "tolerance": 0.01})
    assert describe_difference(answer, {"ein": 0.255, "zwei": 0.9}) == ""
    assert describe_difference(answer, {"zwei": 0.9}) == "ein is 0 instead of 0.25 (tolerance 0.01)"


@pytest.mark.parametrize(
    "wrong",
    [
        [], None, {}, {"kind": "mood", "value": 1}, {"kind": "label", "value": 3}, {"kind": "vector", "value": [None]},
        {"kind": "entities", "value": [[1, 2]]}, {"kind": "dimension", "value": True},
        {"kind": "similarity", "value": float("inf")}, {"kind": "label", "value": "a", "tolerance": -1},
        {"kind": "label", "value": "a", "text": 5}, {"kind": "label"},
    ],
)  # fmt: skip
def test_a_wrong_answer_in_a_lock_is_reported_with_its_position(wrong: object) -> None:
    model = {"source": "a/b", "revision": "c", "files": {}, "answers": [wrong]}
    document = {"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"mood": model}}
    with pytest.raises(LockInvalid, match=r"x: models\.mood\.answers\[0\]: found"):
        parse_lock(json.dumps(document).encode(), "x")


def test_the_built_in_lock_has_published_answers_of_all_four_models() -> None:
    lock = load_lock(None)
    assert lock is not None
    assert all(model.answers for model in lock.models.values())
    assert all(answer.source for model in lock.models.values() for answer in model.answers)


def test_each_answer_has_a_line_of_its_own() -> None:
    answer = {"kind": "label", "text": 'ein "Zitat"', "value": "neutral"}
    model = {"source": "a/b", "revision": "c", "files": {}, "answers": [answer, answer]}
    text = dump_lock({"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"mood": model}}).decode()
    assert text.count(json.dumps(answer, ensure_ascii=False)) == 2
    assert json.loads(text)["models"]["mood"] == model
