"""Scores of the small models on held-out statements, computed by the plain libraries from their files."""

from pathlib import Path
from typing import Final

import pytest

from tests.service.small_models.plain_libraries import (
    entities,
    f1,
    pipeline_folder,
    sentence_transformer,
    sentiment_labels,
    unit_vectors,
)
from tests.support.small_models import SmallModels
from tests.support.small_models.statements import Corpus

ENOUGH: Final = 0.8


def test_sentiment_of_held_out_statements_is_right(models: SmallModels, corpus: Corpus) -> None:
    statements = [statement for group in corpus.held_out for statement in group]
    labels = sentiment_labels(models, [statement.text for statement in statements])
    right = sum(label == each.polarity for label, each in zip(labels, statements, strict=True))
    accuracy = right / len(statements)
    assert accuracy >= ENOUGH
    assert accuracy == pytest.approx(models.scores["german-sentiment"]["accuracy"], abs=0.002)


@pytest.mark.parametrize("name", ["multilingual-embedding", "multilingual-paraphrase"])
def test_the_paraphrase_of_a_held_out_statement_is_the_nearest(
    models: SmallModels, corpus: Corpus, name: str
) -> None:
    pairs = [(group[0].text, group[1].text) for group in corpus.held_out if len(group) > 1]
    model = sentence_transformer(models, name)
    queries, candidates = (unit_vectors(model, side) for side in zip(*pairs, strict=True))
    nearest = (queries @ candidates.T).argmax(dim=1).tolist()
    recall = sum(place == number for number, place in enumerate(nearest)) / len(pairs)
    assert recall >= ENOUGH
    assert recall == pytest.approx(models.scores[name]["recall_at_1"], abs=0.01)


def test_entities_of_held_out_statements_are_found(
    models: SmallModels, corpus: Corpus, installed: Path
) -> None:
    statements = [statement for group in corpus.held_out for statement in group]
    found = entities(pipeline_folder(installed), [statement.text for statement in statements])
    score = f1(found, [set(statement.entities) for statement in statements])
    assert score >= ENOUGH
    assert score == pytest.approx(models.scores["german-ner"]["f1"], abs=0.002)


def test_names_outside_the_training_statements_are_mostly_found(
    models: SmallModels, corpus: Corpus, installed: Path
) -> None:
    """Otherwise the model would only have memorized its lists."""
    statements = [statement for group in corpus.unseen for statement in group]
    found = entities(pipeline_folder(installed), [statement.text for statement in statements])
    assert f1(found, [set(statement.entities) for statement in statements]) >= 0.6


def test_multi_vectors_find_the_paraphrase_and_sparse_weights_mostly(models: SmallModels) -> None:
    """Sparse weights only compare equal tokens, and paraphrases share few of them."""
    scores = models.scores["multilingual-embedding"]
    assert scores["recall_at_1_colbert"] >= ENOUGH
    assert scores["recall_at_1_sparse"] >= 0.5
