"""Expected answers: the part of a lock with which `cache-check --load` verifies a model.

An expected answer is a question, the value that was published or that `--record` stored, and a tolerance for the
numbers of other machines. Loading proves that the files can be read; only answers prove that they are the right
weights, tokenizer and settings.
"""

import json
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

# Numbers of a vector that are kept: enough to distinguish two models, few enough to read.
VECTOR_PREFIX_LENGTH: Final = 8
# For recorded numbers: float32 differs between processors in the sixth digit, a wrong model in the first.
TOLERANCE: Final = 1e-3

_MAX_SHOWN_CHARACTERS: Final = 120


class QuestionKind(StrEnum):
    """The kind of a question, which decides the form of its value.

    LABEL: the sentiment of `text`. PROBABILITIES: those of each sentiment, as a mapping. ENTITIES: a list of [start,
    end, label], in code points. LABELS: all labels of the model, sorted. DIMENSION: length of its vectors. VECTOR: the
    first numbers of the vector of `text`. SIMILARITY: cosine of the vectors of `text` and `other`. SPARSE: weights of
    the tokens of `text`, as a mapping. MAX_SIMILARITY: mean, over the multi-vectors of `text`, of the greatest product
    with one of `other` (ColBERT's MaxSim, divided by the number of vectors). TOKENS: for each token of `text` a list of
    texts: the token, lemma, universal and fine part of speech, features, position of the head, relation to it.
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
    TOKENS = "tokens"


class Question(NamedTuple):
    """An input for a loaded model; texts that the kind does not need are empty."""

    kind: QuestionKind
    text: str = ""
    other: str = ""

    def __str__(self) -> str:
        """Return a description for messages: `similarity of "a" and "b"`."""
        texts = " and ".join(f'"{_shortened(text)}"' for text in (self.text, self.other) if text)
        return f"{self.kind} of {texts}" if texts else str(self.kind)


class Answer(NamedTuple):
    """The expected answer to a question.

    Attributes:
        question: the input.
        value: text, number, list or mapping, depending on the kind.
        tolerance: greatest allowed difference of each number; 0 where there are no numbers.
        source: who published the value; empty for one that `--record` saw.
    """

    question: Question
    value: object
    tolerance: float
    source: str


def parse_answer(value: object) -> Answer:
    """Return the answer of one JSON object of a lock.

    Raises:
        ValueError: the object is not an answer; the text names what was found and what is allowed.
    """
    if not isinstance(value, dict):
        raise ValueError("found no object; allowed: an object with kind and value")
    if value.get("kind") not in list(QuestionKind):
        raise ValueError(f"found the kind {value.get('kind')!r}; allowed: {', '.join(QuestionKind)}")
    kind = QuestionKind(value["kind"])
    texts = [value.get(name, "") for name in ("text", "other", "source")]
    tolerance = value.get("tolerance", 0)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("found a text, other or source that is not text")
    if not _is_number(tolerance) or tolerance < 0:
        raise ValueError(f"found the tolerance {tolerance!r}; allowed: a number from 0")
    if not _is_of_kind(kind, value.get("value")):
        raise ValueError(
            f"found the value {_shortened(json.dumps(value.get('value')))}, which is not a value of kind {kind}"
        )
    return Answer(Question(kind, texts[0], texts[1]), value["value"], float(tolerance), texts[2])


def answer_to_json(answer: Answer) -> dict[str, object]:
    """Return the JSON object that `parse_answer` reads, without the fields that are empty."""
    question = answer.question
    texts = {"text": question.text, "other": question.other}
    optional = {"tolerance": answer.tolerance, "source": answer.source}
    return {
        "kind": str(question.kind),
        **{name: text for name, text in texts.items() if text},
        "value": answer.value,
        **{name: value for name, value in optional.items() if value},
    }


def build_answer(question: Question, value: object) -> Answer:
    """Return the expected answer for the value that a model returned, with the tolerance of its kind.

    Raises:
        ValueError: the value does not have the form of the question's kind.
    """
    if not _is_of_kind(question.kind, value):
        raise ValueError(
            f"{question}: {_shortened(json.dumps(value))} is not a value of kind {question.kind}"
        )
    is_exact = question.kind in (
        QuestionKind.LABEL,
        QuestionKind.LABELS,
        QuestionKind.DIMENSION,
        QuestionKind.ENTITIES,
        QuestionKind.TOKENS,
    )
    return Answer(question, value, 0.0 if is_exact else TOLERANCE, "")


def describe_difference(expected: Answer, actual: object) -> str:
    """Return how a model's value differs from the expected one, in a few words; empty if it does not.

    Of a mapping only the keys of the expected value are compared, because published tables of weights are not
    complete. A key that the model does not return counts as 0.
    """
    kind, value = expected.question.kind, expected.value
    if not _is_of_kind(kind, actual):
        return _mismatch(actual, value)
    if isinstance(value, Mapping) and isinstance(actual, Mapping):
        pairs = [(f"{name} ", value[name], actual.get(name, 0.0)) for name in value]
    elif _is_number(value):
        pairs = [("", value, actual)]
    elif kind is QuestionKind.VECTOR and isinstance(value, Sequence) and isinstance(actual, Sequence):
        pairs = [(f"number {at} ", *both) for at, both in enumerate(zip(value, actual, strict=False), 1)]
    else:
        return "" if value == actual else _mismatch(actual, value)
    for name, should_be, is_now in pairs:
        # `not <=` instead of `>`, so that NaN is a difference.
        if not abs(float(should_be) - float(is_now)) <= expected.tolerance:
            return f"{name}is {is_now:.6g} instead of {should_be:.6g} (tolerance {expected.tolerance:g})"
    return ""


def _mismatch(actual: object, expected: object) -> str:
    shown = [_shortened(json.dumps(value, ensure_ascii=False)) for value in (actual, expected)]
    return f"{shown[0]} instead of {shown[1]}"


def _is_of_kind(kind: QuestionKind, value: object) -> bool:
    if kind is QuestionKind.LABEL:
        return isinstance(value, str)
    if kind in (QuestionKind.SIMILARITY, QuestionKind.MAX_SIMILARITY):
        return _is_number(value)
    if kind is QuestionKind.DIMENSION:
        return type(value) is int
    if kind in (QuestionKind.PROBABILITIES, QuestionKind.SPARSE):
        return isinstance(value, dict) and all(_is_number(number) for number in value.values())
    if not isinstance(value, list):
        return False
    if kind is QuestionKind.VECTOR:
        return all(_is_number(number) for number in value)
    if kind is QuestionKind.LABELS:
        return all(isinstance(label, str) for label in value)
    if kind is QuestionKind.TOKENS:
        return all(isinstance(token, list) and {type(part) for part in token} == {str} for token in value)
    return all(
        isinstance(entity, list) and [type(part) for part in entity] == [int, int, str] for entity in value
    )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # a number by then


def _shortened(text: str) -> str:
    limit = _MAX_SHOWN_CHARACTERS
    return text if len(text) <= limit else text[: limit - 3] + "…"
