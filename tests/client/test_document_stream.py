"""Streams of documents, also over workers that fail during the stream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from qda_worker.client import (
    AsyncClient,
    Client,
    EmbeddingTask,
    EntityTask,
    InvalidRequest,
    NotReady,
    SentimentTask,
    Settings,
    SyntaxLayer,
    SyntaxTask,
    Text,
)
from tests.client.conftest import Invoke, as_async
from tests.support.fake_worker import FakeWorker

TASKS: Final = [SentimentTask(), EntityTask(labels=("PER",)), EmbeddingTask()]


def test_documents_are_analyzed_in_order_with_all_tasks(worker: FakeWorker, invoke: Invoke) -> None:
    documents = [Text(f"Anna {'x' * index} :)", id=str(index)) for index in range(300)]
    results = invoke(Settings(worker.target), "analyze", documents, TASKS)
    assert [(result.index, result.id) for result in results] == [(index, str(index)) for index in range(300)]
    assert all(result.ok and result.entities.entities[0].text == "Anna" for result in results)
    assert [result.embeddings[0].dense[0] for result in results] == [len(text.content) for text in documents]
    assert results[0].provenance.sentiment.model == "german-sentiment"


def test_the_syntax_of_documents_has_the_layers_of_the_header(worker: FakeWorker, invoke: Invoke) -> None:
    tasks = [SyntaxTask(layers=(SyntaxLayer.LEMMA, SyntaxLayer.SENTENCES))]
    results = invoke(Settings(worker.target), "analyze", ["gut", "toll"], tasks)
    assert [result.syntax.layers for result in results] == [(SyntaxLayer.LEMMA, SyntaxLayer.SENTENCES)] * 2
    [unknown] = invoke(Settings(worker.target), "analyze", ["gut"], [SyntaxTask()])  # as of an older worker
    assert unknown.syntax.layers is None


def test_a_failed_document_is_one_error_among_the_results(worker: FakeWorker, invoke: Invoke) -> None:
    results = invoke(Settings(worker.target), "analyze", ["gut", "", "gut"], [SentimentTask()])
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].sentiment.error.reason == "TEXT_EMPTY"


def test_a_broken_stream_continues_with_the_first_unanswered_document(
    worker: FakeWorker, invoke: Invoke
) -> None:
    worker.stream_breaks = [7, 0, 20]
    documents = [Text("gut", id=str(index)) for index in range(100)]
    results = invoke(Settings(worker.target), "analyze", documents, [SentimentTask()])
    assert [(result.index, result.id) for result in results] == [(index, str(index)) for index in range(100)]
    assert len(worker.calls) == 4


def test_a_stream_that_keeps_breaking_without_a_result_is_given_up(
    worker: FakeWorker, invoke: Invoke
) -> None:
    worker.stream_breaks = [0] * 200
    with pytest.raises(NotReady, match="DRAINING"):
        invoke(Settings(worker.target, timeout=1), "analyze", ["gut"], [SentimentTask()])
    assert 1 < len(worker.calls) < 10


def test_an_exception_of_the_iterator_follows_the_results_before_it(client: Client) -> None:
    def documents() -> Iterator[str]:
        yield "eins"
        yield "zwei"
        raise KeyError("no more")

    results = client.analyze(documents(), [SentimentTask()])
    assert [next(results).ok, next(results).ok] == [True, True]
    with pytest.raises(KeyError):
        next(results)


def test_a_document_that_cannot_be_sent_keeps_its_place_in_a_broken_stream(
    worker: FakeWorker, invoke: Invoke
) -> None:
    worker.stream_breaks = [2, 1]
    documents = [
        Text("gut", id="a"),
        Text("\ud800", id="b"),
        Text("gut", id="c"),
        Text("x", id="i" * 300),
        "gut",
    ]
    results = invoke(Settings(worker.target), "analyze", documents, TASKS)
    assert [(result.index, result.ok) for result in results] == [
        (0, True), (1, False), (2, True), (3, False), (4, True)
    ]  # fmt: skip
    assert [(result.id, result.error.reason) for result in results if not result.ok] == [
        ("b", "TEXT_NOT_UTF8"),
        ("i" * 300, "ARGUMENT_INVALID"),
    ]
    assert results[1].sentiment is None


@pytest.mark.parametrize("tasks", [[], [SentimentTask(), SentimentTask()]])
def test_no_task_or_a_repeated_task_is_rejected_at_once(client: Client, tasks: list[SentimentTask]) -> None:
    with pytest.raises(InvalidRequest, match="tasks"):
        client.analyze(["gut"], tasks)


def test_documents_are_read_as_results_are_taken(client: Client) -> None:
    """The source is endless: it must not be read further than the results are."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "x" * 100_000

    results = client.analyze(endless(), [SentimentTask()])
    assert all(next(results).ok for _ in range(3))
    assert taken < 1_000


def test_an_async_iterator_survives_a_broken_stream(worker: FakeWorker) -> None:
    """The reader of a broken stream is cancelled by gRPC; that must not end the caller's generator."""
    worker.stream_breaks = [3, 3]

    async def slow() -> list[int]:
        async def source() -> AsyncIterator[Text]:
            for index in range(30):
                await asyncio.sleep(0.002)
                yield Text("gut", id=str(index))

        async with AsyncClient(worker.target) as client:
            return [result.index async for result in client.analyze(source(), [SentimentTask()])]

    assert asyncio.run(slow()) == list(range(30))


def test_documents_may_be_an_async_iterator(worker: FakeWorker) -> None:
    async def run() -> list[bool]:
        async with AsyncClient(worker.target) as client:
            return [each.ok async for each in client.analyze(as_async(["a", "b"]), [SentimentTask()])]

    assert asyncio.run(run()) == [True, True]
