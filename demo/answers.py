"""What a user asks the worker about an interview, and the answers printed beside the statements."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from demo.programs import DemoFailed, section
from qda_worker.client import Client, Embedding, SentimentLabel

QUERIES: Final = (
    "Der Bus kommt immer zu spät.",
    "Es fehlt überall an Personal.",
    "Die Wohnung ist zu teuer.",
)
NEAREST: Final = 2
ALIKE: Final = 0.55  # cosine from which two statements are shown as paraphrases

_MARKS: Final = {SentimentLabel.POSITIVE: "+", SentimentLabel.NEGATIVE: "-", SentimentLabel.NEUTRAL: " "}


def read_interview(path: Path) -> list[str]:
    """One statement a line."""
    return [line for line in path.read_text("utf-8").splitlines() if line]


def show_models(client: Client) -> None:
    """Return what the worker serves, and from which revision."""
    for model in client.models().models:
        print(f"  {model.key:24} {model.task:10} {model.source} at {model.revision[:12]}")


def show_sentiment(client: Client, texts: Sequence[str]) -> None:
    """Each statement with its sentiment."""
    with section("5. Sentiment of each statement"):
        answer = client.sentiment(texts)
        for text, result in zip(texts, answer, strict=True):
            if result.label is None or result.probabilities is None:
                raise DemoFailed(f"no sentiment for {text!r}: {result.error}")
            probability = getattr(result.probabilities, result.label.value)
            print(f"  {_MARKS[result.label]} {result.label:8} {probability:4.0%}  {text}")
        print(f"by {answer.provenance.model} at {answer.provenance.revision[:12]}")


def show_entities(client: Client, texts: Sequence[str]) -> None:
    """Return the names, with offsets in code points: Python's own."""
    with section("6. Names, with their places in code points"):
        answer = client.entities(texts)
        for text, result in zip(texts, answer, strict=True):
            if result.error is not None:
                raise DemoFailed(f"no entities for {text!r}: {result.error}")
            if any(text[entity.start : entity.end] != entity.text for entity in result.entities):
                raise DemoFailed(f"an offset does not fit in {text!r}")
            names = "  ".join(
                f"{each.label} {each.text} [{each.start}:{each.end}]" for each in result.entities
            )
            if names:
                print(f"  {text}\n      {names}")
        print(f"by {answer.provenance.model} {answer.provenance.revision}")


def show_nearest(client: Client, texts: Sequence[str]) -> None:
    """For each query the statements whose embeddings are nearest."""
    with section("7. The statements nearest to a query"):
        answer = client.embed([*texts, *QUERIES])
        vectors = np.stack([_unit(embedding) for embedding in answer])
        statements, queries = vectors[: len(texts)], vectors[len(texts) :]
        for query, similarities in zip(QUERIES, queries @ statements.T, strict=True):
            print(f"  {query}")
            for index in np.argsort(-similarities)[:NEAREST]:
                print(f"      {similarities[index]:.2f}  {texts[index]}")
        print(f"by {answer.provenance.model}, {vectors.shape[1]} dimensions")


def show_paraphrases(client: Client, texts: Sequence[str]) -> None:
    """Pairs of statements that say the same, the likest first."""
    with section("8. Statements that say the same"):
        found = client.find_paraphrases(texts, threshold=ALIKE)
        if not found.pairs:
            raise DemoFailed(f"no two statements are alike by {ALIKE}")
        for pair in sorted(found.pairs, key=lambda pair: -pair.score):
            print(f"  {pair.score:.2f}  {texts[pair.first]}\n        {texts[pair.second]}")
        print(f"by {found.provenance.model}, cosine at least {ALIKE}")


def _unit(embedding: Embedding) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if embedding.dense is None:
        raise DemoFailed(f"no embedding: {embedding.error}")
    vector = np.asarray(embedding.dense, dtype=np.float32)
    return vector / np.linalg.norm(vector)
