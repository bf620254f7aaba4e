"""Searches for paraphrases and streams of documents, also over workers that go away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

import grpc
import pytest

from qda_worker.client import (
    AsyncClient,
    Client,
    EmbeddingTask,
    EntityTask,
    InvalidRequest,
    NotReady,
    SentimentTask,
    ServerFailed,
    Settings,
    Text,
)
from tests.client.conftest import Ask, as_async
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse, retry_info


def test_paraphrases_within_one_set(worker: FakeWorker, ask: Ask) -> None:
    found = ask(Settings(worker.target), "find_paraphrases", ["ab", "c", "de", "", "f"], threshold=0.5)
    assert [(pair.first, pair.second, pair.score) for pair in found.pairs] == [(0, 2, 1.0), (1, 4, 1.0)]
    assert [(problem.index, problem.error.reason) for problem in found.problems] == [(3, "TEXT_EMPTY")]
    assert found.provenance.model == "multilingual-paraphrase"
    assert found.encoded_texts == 5


def test_paraphrases_between_two_sets(worker: FakeWorker, ask: Ask) -> None:
    found = ask(Settings(worker.target), "find_paraphrases", ["ab"], ["c", "de"], best=1)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1)]
    settings = worker.calls[0].request[0].settings
    assert (settings.best_count, settings.HasField("threshold")) == (1, False)


def test_many_texts_travel_in_several_parts_in_order(worker: FakeWorker, ask: Ask) -> None:
    texts = ["x" * length for length in range(1, 2_501)]
    ask(Settings(worker.target), "find_paraphrases", texts, threshold=1.0)
    parts = worker.calls[0].request
    assert [len(part.texts.texts) for part in parts] == [0, 1_000, 1_000, 500]
    assert [text.content for part in parts for text in part.texts.texts] == texts


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": -2}, "threshold"),
        ({"best": 0}, "best"),
    ],
)
def test_a_search_for_everything_or_nothing_is_refused_before_it_is_sent(
    worker: FakeWorker, ask: Ask, options: dict[str, float], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask(Settings(worker.target), "find_paraphrases", ["a"], **options)
    assert caught.value.violations[0].field == field
    assert worker.calls == []


def test_a_search_at_a_full_worker_is_tried_again(worker: FakeWorker, ask: Ask) -> None:
    busy = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),))
    worker.script = [busy, busy]
    assert ask(Settings(worker.target), "find_paraphrases", ["a", "b"], best=1).pairs
    assert len(worker.calls) == 3


TASKS: Final = [SentimentTask(), EntityTask(labels=("PER",)), EmbeddingTask()]


def test_documents_are_analysed_in_order_with_all_tasks(worker: FakeWorker, ask: Ask) -> None:
    documents = [Text(f"Anna {'x' * index} :)", id=str(index)) for index in range(300)]
    results = ask(Settings(worker.target), "analyze", documents, TASKS)
    assert [(result.index, result.id) for result in results] == [(index, str(index)) for index in range(300)]
    assert all(result.ok and result.entities.entities[0].text == "Anna" for result in results)
    assert [result.embeddings[0].dense[0] for result in results] == [len(text.content) for text in documents]
    assert results[0].provenance.sentiment.model == "german-sentiment"


def test_a_broken_document_is_one_error_among_the_results(worker: FakeWorker, ask: Ask) -> None:
    results = ask(Settings(worker.target), "analyze", ["gut", "", "gut"], [SentimentTask()])
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].sentiment.error.reason == "TEXT_EMPTY"


def test_a_stream_goes_on_at_the_next_worker_where_the_last_one_left_it(worker: FakeWorker, ask: Ask) -> None:
    worker.stream_breaks = [7, 0, 20]
    documents = [Text("gut", id=str(index)) for index in range(100)]
    results = ask(Settings(worker.target), "analyze", documents, [SentimentTask()])
    assert [(result.index, result.id) for result in results] == [(index, str(index)) for index in range(100)]
    assert len(worker.calls) == 4


def test_a_stream_that_breaks_again_and_again_without_a_result_is_given_up_in_time(
    worker: FakeWorker, ask: Ask
) -> None:
    worker.stream_breaks = [0] * 200
    with pytest.raises(NotReady, match="DRAINING"):
        ask(Settings(worker.target, timeout=1), "analyze", ["gut"], [SentimentTask()])
    assert 1 < len(worker.calls) < 10


def test_an_error_of_the_callers_own_iterator_comes_after_the_results_before_it(client: Client) -> None:
    def documents() -> Iterator[str]:
        yield "eins"
        yield "zwei"
        raise KeyError("no more")

    results = client.analyze(documents(), [SentimentTask()])
    assert [next(results).ok, next(results).ok] == [True, True]
    with pytest.raises(KeyError):
        next(results)


def test_a_document_that_cannot_be_sent_is_named(worker: FakeWorker, ask: Ask) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\[1\]\.content"):
        ask(Settings(worker.target), "analyze", ["gut", "\ud800"], [SentimentTask()])


@pytest.mark.parametrize("tasks", [[], [SentimentTask(), SentimentTask()]])
def test_a_stream_without_a_task_or_with_one_twice_is_refused_at_once(
    client: Client, tasks: list[SentimentTask]
) -> None:
    with pytest.raises(InvalidRequest, match="tasks"):
        client.analyze(["gut"], tasks)


def test_documents_are_read_as_results_are_taken(client: Client) -> None:
    """An endless source: whoever stops reading stops the reading of the source, too."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "x" * 100_000

    results = client.analyze(endless(), [SentimentTask()])
    assert all(next(results).ok for _ in range(3))
    assert taken < 1_000


def test_an_async_source_survives_a_broken_stream(worker: FakeWorker) -> None:
    """gRPC cancels the reader of a broken stream; the caller's generator must not end with it."""
    worker.stream_breaks = [3, 3]

    async def slow() -> list[int]:
        async def source() -> AsyncIterator[Text]:
            for index in range(30):
                await asyncio.sleep(0.002)
                yield Text("gut", id=str(index))

        async with AsyncClient(worker.target) as client:
            return [result.index async for result in client.analyze(source(), [SentimentTask()])]

    assert asyncio.run(slow()) == list(range(30))


def test_an_async_iterator_of_documents_is_taken_too(worker: FakeWorker) -> None:
    async def run() -> list[bool]:
        async with AsyncClient(worker.target) as client:
            return [each.ok async for each in client.analyze(as_async(["a", "b"]), [SentimentTask()])]

    assert asyncio.run(run()) == [True, True]


def test_a_stream_of_paraphrases_without_its_summary_is_no_answer() -> None:
    from qda_worker.client.paraphrase_search import Collection

    with pytest.raises(ServerFailed, match="before its summary"):
        Collection().paraphrases()
