"""What a model is known to answer: the part of a lock by which `cache-check --load` knows a model again.

An answer is a question, the value that somebody saw, and how far another machine's may be from it. Loading proves that
files can be read; only answers prove that they are the weights, the tokenizer and the settings that they should be.
"""

import json
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

# Numbers of a vector that are kept: enough to tell two models apart, few enough to read.
VECTOR_BEGINNING: Final = 8
# Of numbers that `--record` saw: float32 differs by processor in the sixth digit, a wrong model in the
# first.
TOLERANCE: Final = 1e-3


class Kind(StrEnum):
    """What is asked, and what the value is then.

    LABEL: the sentiment of `text`. PROBABILITIES: of each sentiment. ENTITIES: [start, end, label] each, in code
    points. LABELS: all that the model can give, sorted. DIMENSION: of its vectors. VECTOR: the first numbers of that of
    `text`. SIMILARITY: cosine of the vectors of `text` and `other`. SPARSE: weights of tokens of `text`.
    MAX_SIMILARITY: mean over the multi-vectors of `text` of the greatest product with one of `other`'s.
    """

    LABEL = "label"
    PROBABILITIES = "probabilities"
    ENTITIES = "entities"
    LABELS = "labels"
    DIMENSION = "dimension"
    VECTOR = "vector"
    SIMILARITY = "similarity"
    SPARSE = "sparse"
    MAX_SIMILARITY = "max_similarity"


class Question(NamedTuple):
    """What a model is asked; texts that the kind does not need are empty."""

    kind: Kind
    text: str = ""
    other: str = ""

    def __str__(self) -> str:
        """`similarity of "a" and "b"`."""
        texts = " and ".join(f'"{_short(text)}"' for text in (self.text, self.other) if text)
        return f"{self.kind} of {texts}" if texts else str(self.kind)


class Answer(NamedTuple):
    """What a model should answer.

    Attributes:
        question: what it is asked.
        value: text, number, list or mapping, as the kind says.
        tolerance: how far each number may be from the value's; 0 where there are none.
        source: who published the value; empty for one that `--record` saw.
    """

    question: Question
    value: object
    tolerance: float
    source: str


def parse_answer(value: object) -> Answer:
    """Read one answer of a lock. Raises `ValueError` with what is wrong."""
    if not isinstance(value, dict):
        raise ValueError("found no object; allowed: an object with kind and value")
    if value.get("kind") not in list(Kind):
        raise ValueError(f"found the kind {value.get('kind')!r}; allowed: {', '.join(Kind)}")
    kind = Kind(value["kind"])
    texts = [value.get(name, "") for name in ("text", "other", "source")]
    tolerance = value.get("tolerance", 0)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("found a text, other or source that is no text")
    if not _is_number(tolerance) or tolerance < 0:
        raise ValueError(f"found the tolerance {tolerance!r}; allowed: a number from 0 on")
    if not _fits(kind, value.get("value")):
        raise ValueError(f"found the value {_short(json.dumps(value.get('value')))}, which is no {kind}")
    return Answer(Question(kind, texts[0], texts[1]), value["value"], float(tolerance), texts[2])


def answer_to_json(answer: Answer) -> dict[str, object]:
    """Return what `parse_answer` reads; what is empty is left out."""
    question = answer.question
    optional = {"text": question.text, "other": question.other}
    said = {"tolerance": answer.tolerance, "source": answer.source}
    return {
        "kind": str(question.kind),
        **{name: text for name, text in optional.items() if text},
        "value": answer.value,
        **{name: value for name, value in said.items() if value},
    }


def recorded(question: Question, value: object) -> Answer:
    """Return the answer that is kept of what a model said. Raises `ValueError` if the value is none of the kind."""
    if not _fits(question.kind, value):
        raise ValueError(f"{question}: {_short(json.dumps(value))} is no {question.kind}")
    exact = question.kind in (Kind.LABEL, Kind.LABELS, Kind.DIMENSION, Kind.ENTITIES)
    return Answer(question, value, 0.0 if exact else TOLERANCE, "")


def difference(answer: Answer, said: object) -> str:
    """Return how a model's value differs from the answer's, in a few words; empty: it does not.

    Of a mapping only the answer's keys count: published tables of weights are not whole.
    """
    expected = answer.value
    if not _fits(answer.question.kind, said):
        return _instead(said, expected)
    if isinstance(expected, Mapping) and isinstance(said, Mapping):
        pairs = [(f"{name} ", expected[name], said.get(name, 0.0)) for name in expected]
    elif _is_number(expected):
        pairs = [("", expected, said)]
    elif (
        answer.question.kind is Kind.VECTOR and isinstance(expected, Sequence) and isinstance(said, Sequence)
    ):
        pairs = [(f"number {at} ", *both) for at, both in enumerate(zip(expected, said, strict=False), 1)]
    else:
        return "" if expected == said else _instead(said, expected)
    for name, should, is_now in pairs:
        if not abs(float(should) - float(is_now)) <= answer.tolerance:  # also of a number that is none
            return f"{name}is {is_now:.6g} instead of {should:.6g} (tolerance {answer.tolerance:g})"
    return ""


def _instead(said: object, expected: object) -> str:
    shown = [_short(json.dumps(value, ensure_ascii=False)) for value in (said, expected)]
    return f"it said {shown[0]} instead of {shown[1]}"


def _fits(kind: Kind, value: object) -> bool:
    if kind is Kind.LABEL:
        return isinstance(value, str)
    if kind in (Kind.SIMILARITY, Kind.MAX_SIMILARITY):
        return _is_number(value)
    if kind is Kind.DIMENSION:
        return type(value) is int
    if kind in (Kind.PROBABILITIES, Kind.SPARSE):
        return isinstance(value, dict) and all(_is_number(number) for number in value.values())
    if not isinstance(value, list):
        return False
    if kind is Kind.VECTOR:
        return all(_is_number(number) for number in value)
    if kind is Kind.LABELS:
        return all(isinstance(label, str) for label in value)
    return all(
        isinstance(entity, list) and [type(part) for part in entity] == [int, int, str] for entity in value
    )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # a number by then


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "…"
