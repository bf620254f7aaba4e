"""The interview of the demo: not part of the training, and analyzed mostly correctly."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from demo.analyses import PARAPHRASE_THRESHOLD, read_interview
from tests.service.small_models.plain_libraries import (
    entities,
    f1,
    pipeline_folder,
    sentence_transformer,
    sentiment_labels,
    unit_vectors,
)
from tests.support.small_models import SmallModels
from tests.support.small_models.build import ROOT
from tests.support.small_models.statements import Corpus, load_exclamations

ENOUGH: Final = 0.8


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return read_interview(ROOT / "demo" / "interview.txt")


@pytest.fixture(scope="module")
def reading() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("interview.yaml").read_text("utf-8"))
    return read


def test_no_statement_of_the_interview_was_trained_on(texts: list[str], corpus: Corpus) -> None:
    trained = {statement.text for group in (*corpus.train, load_exclamations()) for statement in group}
    assert trained.isdisjoint(texts)


def test_each_statement_has_a_reading(texts: list[str], reading: dict[str, Any]) -> None:
    assert list(reading["statements"]) == list(range(1, len(texts) + 1))


def test_the_sentiment_of_the_interview_is_mostly_right(
    texts: list[str], reading: dict[str, Any], models: SmallModels
) -> None:
    labels = sentiment_labels(models, texts)
    right = sum(
        label == polarity for label, (polarity, _) in zip(labels, reading["statements"].values(), strict=True)
    )
    assert right / len(texts) >= ENOUGH


def test_the_names_of_the_interview_are_mostly_found(
    texts: list[str], reading: dict[str, Any], installed: Path
) -> None:
    right = [
        {(text.index(name), text.index(name) + len(name), label) for name, label in names.items()}
        for text, (_, names) in zip(texts, reading["statements"].values(), strict=True)
    ]
    assert f1(entities(pipeline_folder(installed), texts), right) >= ENOUGH


def test_the_nearest_statement_answers_most_queries(
    texts: list[str], reading: dict[str, Any], models: SmallModels
) -> None:
    model = sentence_transformer(models, "multilingual-embedding")
    statements = unit_vectors(model, texts)
    answered = [
        int((statements @ unit_vectors(model, [query])[0]).argmax()) + 1 in wanted
        for query, wanted in reading["queries"].items()
    ]
    assert sum(answered) > len(answered) / 2


def test_most_paraphrases_of_the_interview_pass_the_threshold_of_the_demo(
    texts: list[str], reading: dict[str, Any], models: SmallModels
) -> None:
    vectors = unit_vectors(sentence_transformer(models, "multilingual-paraphrase"), texts)
    alike = [
        float(vectors[first - 1] @ vectors[second - 1]) >= PARAPHRASE_THRESHOLD
        for first, second in reading["paraphrases"]
    ]
    assert sum(alike) >= len(alike) / 2
