"""Analyses of an interview with all calls of the worker; the results are printed beside the statements."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from demo.programs import DemoFailed, section
from qda_worker.client import Client, Embedding, SentimentLabel
from qda_worker.client.readers.corpus import read_corpus

QUERIES: Final = (
    "Der Bus kommt immer zu spät.",
    "Es fehlt überall an Personal.",
    "Die Wohnung ist zu teuer.",
)
NEAREST_COUNT: Final = 2
PARAPHRASE_THRESHOLD: Final = 0.55  # cosine from which two statements are shown as paraphrases

_MARKS: Final = {SentimentLabel.POSITIVE: "+", SentimentLabel.NEGATIVE: "-", SentimentLabel.NEUTRAL: " "}


def read_interview(path: Path) -> list[str]:
    """Read the statements of a transcript, without the labels of the speakers and the times."""
    return [segment.text for segment in read_corpus([str(path)])]


def show_models(client: Client) -> None:
    """Print the models that the worker serves, with their revisions."""
    for model in client.models().models:
        print(f"  {model.key:24} {model.task:10} {model.source} at {model.revision[:12]}")


def show_sentiment(client: Client, texts: Sequence[str]) -> None:
    """Print each statement with its sentiment.

    Raises:
        DemoFailed: a statement has no sentiment.
    """
    with section("5. Sentiment of each statement"):
        answer = client.sentiment(texts)
        for text, result in zip(texts, answer, strict=True):
            if result.label is None or result.probabilities is None:
                raise DemoFailed(f"no sentiment for {text!r}: {result.error}")
            probability = getattr(result.probabilities, result.label.value)
            print(f"  {_MARKS[result.label]} {result.label:8} {probability:4.0%}  {text}")
        print(f"by {answer.provenance.model} at {answer.provenance.revision[:12]}")


def show_entities(client: Client, texts: Sequence[str]) -> None:
    """Print the entities, with their positions in code points, the indices of Python strings.

    Raises:
        DemoFailed: a statement has no result, or a position is wrong.
    """
    with section("6. Entities, with their positions in code points"):
        answer = client.entities(texts)
        for text, result in zip(texts, answer, strict=True):
            if result.error is not None:
                raise DemoFailed(f"no entities for {text!r}: {result.error}")
            if any(text[entity.start : entity.end] != entity.text for entity in result.entities):
                raise DemoFailed(f"a position is wrong in {text!r}")
            names = "  ".join(
                f"{each.label} {each.text} [{each.start}:{each.end}]" for each in result.entities
            )
            if names:
                print(f"  {text}\n      {names}")
        print(f"by {answer.provenance.model} {answer.provenance.revision}")


def show_nearest(client: Client, texts: Sequence[str]) -> None:
    """Print for each query the statements with the most similar embeddings.

    Raises:
        DemoFailed: a text has no embedding.
    """
    with section("7. The statements that are most similar to a query"):
        answer = client.embed([*texts, *QUERIES])
        vectors = np.stack([_unit(embedding) for embedding in answer])
        statements, queries = vectors[: len(texts)], vectors[len(texts) :]
        for query, similarities in zip(QUERIES, queries @ statements.T, strict=True):
            print(f"  {query}")
            for index in np.argsort(-similarities)[:NEAREST_COUNT]:
                print(f"      {similarities[index]:.2f}  {texts[index]}")
        print(f"by {answer.provenance.model}, {vectors.shape[1]} dimensions")


def show_paraphrases(client: Client, texts: Sequence[str]) -> None:
    """Print the pairs of statements with the same meaning, the most similar first.

    Raises:
        DemoFailed: there is no such pair.
    """
    with section("8. Statements with the same meaning"):
        found = client.find_paraphrases(texts, threshold=PARAPHRASE_THRESHOLD)
        if not found.pairs:
            raise DemoFailed(f"no two statements have a similarity of {PARAPHRASE_THRESHOLD}")
        for pair in sorted(found.pairs, key=lambda pair: -pair.score):
            print(f"  {pair.score:.2f}  {texts[pair.first]}\n        {texts[pair.second]}")
        print(f"by {found.provenance.model}, cosine at least {PARAPHRASE_THRESHOLD}")


def _unit(embedding: Embedding) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if embedding.dense is None:
        raise DemoFailed(f"no embedding: {embedding.error}")
    vector = np.asarray(embedding.dense, dtype=np.float32)
    return vector / np.linalg.norm(vector)
