"""The same release gives the same answers: after a restart, on other cores, and in any batch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from qda_worker.client import Client, EmbeddingKind, LongTexts, Settings
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving

# What docs/calling.md and Provenance in the proto promise.
TOLERANCE: Final = 1e-5

TEXTS: Final = (
    "Das war sehr gut, und die Stadt ist schön!",
    "nicht schlecht",
    "Frau Müller fuhr von Köln nach Berlin; dort wartete Merkel.",
    "😀🎉 42 Häuser",
    "das ist gut " * 40,  # longer than any of the tiny models reads
)
OTHERS: Final = [f"Satz {number} ist gut. " * (1 + number % 9) for number in range(150)]


@dataclass(frozen=True, slots=True)
class Answers:
    """Return the results of TEXTS: probabilities, vectors of every kind and scores in one row a text, and names."""

    numbers: list[NDArray[np.float32]]
    names: list[list[tuple[str, int, int]]]


def ask(worker: ServeProcess, among: Sequence[str] = ()) -> Answers:
    """Send each text alone, so that batches are the same each time, or all of them `among` others."""
    together = bool(among)
    half = len(among) // 2
    settings = Settings(
        worker.address, timeout=TIMEOUT, chunk_texts=1_000 if together else 1, in_flight=1, caller="same"
    )
    texts = [*among[:half], *TEXTS, *among[half:]]
    asked = slice(half, half + len(TEXTS))
    with Client(settings) as client:
        moods = client.sentiment(texts, long_texts=LongTexts.WINDOW)[asked]
        vectors = client.embed(texts, kinds=list(EmbeddingKind), stream=False)[asked]
        others = client.embed(texts, model="tiny-paraphrase")[asked]
        scores = client.score_pairs([(text, TEXTS[0]) for text in texts])[asked]
        entities = client.entities(texts)[asked]
    numbers = []
    for mood, vector, other, score in zip(moods, vectors, others, scores, strict=True):
        chances, sparse = mood.probabilities, vector.sparse
        assert chances is not None
        assert sparse is not None
        by_id = np.zeros(500, np.float32)
        by_id[list(sparse.token_ids)] = sparse.weights
        parts = ([chances.positive, chances.negative, chances.neutral], vector.dense, by_id)
        multi = np.ravel(np.asarray(vector.multi_vector))
        row = [*parts, multi, other.dense, [score.score]]
        numbers.append(np.concatenate([np.asarray(part, np.float32) for part in row]))
    return Answers(
        numbers, [[(each.text, each.start, each.end) for each in found.entities] for found in entities]
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Restrict programs that are started in the block to one core, so that they compute with one thread."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@pytest.fixture(scope="module")
def first(worker: ServeProcess) -> Answers:
    return ask(worker)


def options(cache_fixture: CacheFixture) -> list[str]:
    return ["--catalog", str(cache_fixture.catalog_file), "--cache", str(cache_fixture.cache), "--no-fetch"]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_after_a_restart_every_number_is_the_same_to_the_last_bit(
    cache_fixture: CacheFixture, first: Answers, tmp_path_factory: pytest.TempPathFactory, engine: str
) -> None:
    runs = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("again")
        with serving(folder, *options(cache_fixture), "--engine", engine) as again:
            again.wait_until_ready()
            runs.append(ask(again))
    assert [row.tobytes() for row in runs[0].numbers] == [row.tobytes() for row in runs[1].numbers]
    assert runs[0].names == runs[1].names
    same(runs[0], first)


def test_a_node_with_another_number_of_cores_gives_the_same_answers(
    cache_fixture: CacheFixture, first: Answers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ExitStack() as stack:
        with one_core():
            node = stack.enter_context(serving(tmp_path_factory.mktemp("node"), *options(cache_fixture)))
        node.wait_until_ready()
        same(ask(node), first)


def test_texts_that_share_the_batch_change_nothing(worker: ServeProcess, first: Answers) -> None:
    same(ask(worker, OTHERS), first)


def same(answers: Answers, first: Answers) -> None:
    for row, expected in zip(answers.numbers, first.numbers, strict=True):
        np.testing.assert_allclose(row, expected, rtol=0, atol=TOLERANCE)
    assert answers.names == first.names
    assert first.names[2] == [("Müller", 5, 11), ("Köln", 21, 25), ("Berlin", 31, 37), ("Merkel", 52, 58)]
