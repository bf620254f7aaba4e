"""Searches for paraphrases, also over workers that fail during the search."""

import grpc
import pytest

from qda_worker.client import (
    InvalidRequest,
    NotReady,
    ServerFailed,
    Settings,
)
from qda_worker.client.paraphrase_search import ParaphraseCollector, Search
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse, retry_info


def test_paraphrases_within_one_set(worker: FakeWorker, invoke: Invoke) -> None:
    found = invoke(Settings(worker.target), "find_paraphrases", ["ab", "c", "de", "", "f"], threshold=0.5)
    assert [(pair.first, pair.second, pair.score) for pair in found.pairs] == [(0, 2, 1.0), (1, 4, 1.0)]
    assert [(problem.index, problem.error.reason) for problem in found.problems] == [(3, "TEXT_EMPTY")]
    assert found.provenance.model == "multilingual-paraphrase"
    assert found.encoded_texts == 5


def test_texts_that_cannot_be_sent_are_problems_of_their_set(worker: FakeWorker, invoke: Invoke) -> None:
    found = invoke(Settings(worker.target), "find_paraphrases", ["ab", "\ud83d", "de"], threshold=0.5)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 2)]
    assert [(problem.index, problem.error.reason) for problem in found.problems] == [(1, "TEXT_NOT_UTF8")]


def test_paraphrases_between_two_sets(worker: FakeWorker, invoke: Invoke) -> None:
    found = invoke(Settings(worker.target), "find_paraphrases", ["ab"], ["c", "de"], best=1)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1)]
    settings = worker.calls[0].request[0].settings
    assert (settings.best_count, settings.HasField("threshold")) == (1, False)


def test_many_texts_are_sent_in_several_messages_in_order(worker: FakeWorker, invoke: Invoke) -> None:
    texts = ["x" * length for length in range(1, 2_501)]
    invoke(Settings(worker.target), "find_paraphrases", texts, threshold=1.0)
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
def test_an_invalid_search_is_rejected_before_it_is_sent(
    worker: FakeWorker, invoke: Invoke, options: dict[str, float], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        invoke(Settings(worker.target), "find_paraphrases", ["a"], **options)
    assert caught.value.violations[0].field == field
    assert worker.calls == []


def test_a_search_at_an_overloaded_worker_is_retried(worker: FakeWorker, invoke: Invoke) -> None:
    busy = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),))
    worker.faults = [busy, busy]
    assert invoke(Settings(worker.target), "find_paraphrases", ["a", "b"], best=1).pairs
    assert len(worker.calls) == 3


def test_a_search_that_breaks_starts_from_the_beginning(worker: FakeWorker, invoke: Invoke) -> None:
    """Each broken attempt brings one pair; the result must have only the pairs of the last attempt."""
    worker.stream_breaks = [1, 1]
    found = invoke(Settings(worker.target), "find_paraphrases", ["ab", "cd", "ef"], threshold=0.5)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert len(worker.calls) == 3


def test_a_search_that_always_breaks_is_given_up_without_any_pair(worker: FakeWorker, invoke: Invoke) -> None:
    worker.stream_breaks = [1] * 9
    with pytest.raises(NotReady) as caught:
        invoke(Settings(worker.target), "find_paraphrases", ["ab", "cd", "ef"], threshold=0.5)
    assert caught.value.partial is None
    assert len(worker.calls) == 3


def test_a_response_without_its_summary_is_an_error() -> None:
    with pytest.raises(ServerFailed, match="before its summary"):
        ParaphraseCollector(Search([], {}, {})).result()
