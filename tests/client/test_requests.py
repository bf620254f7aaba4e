"""Long lists as several requests: every text once, in order, each request within both limits."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda.v1 import sentiment_pb2, text_pb2
from qda_worker.client.chunks import chunk_slices, field_overhead
from qda_worker.client.enums import LongTexts, Offsets
from qda_worker.client.errors import ClientError
from qda_worker.client.requests import ResultCollector, pair_request, sentiment_request
from qda_worker.client.results import Sentiment
from qda_worker.client.retry import RetryBudget, WorkerAvailability
from qda_worker.client.sync_calls import PendingCalls
from qda_worker.client.texts import Text
from qda_worker.limits import MAX_REQUEST_BYTES


@given(
    sizes=st.lists(st.integers(0, 300), max_size=200),
    max_items=st.integers(1, 20),
    max_bytes=st.integers(1, 2_000),
)
def test_slices_cover_every_item_once_in_order_within_the_limits(
    sizes: list[int], max_items: int, max_bytes: int
) -> None:
    found = list(chunk_slices(sizes, max_items, max_bytes))
    covered = [index for chunk in found for index in range(chunk.start, chunk.stop)]
    assert covered == list(range(len(sizes)))
    for chunk in found:
        cost = sum(size + field_overhead(size) for size in sizes[chunk])
        assert 1 <= len(sizes[chunk]) <= max_items
        assert cost <= max_bytes or len(sizes[chunk]) == 1


@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=60),
    max_items=st.integers(1, 20),
    max_bytes=st.integers(400, 2_000),
)
def test_slices_are_as_long_as_the_limits_allow(sizes: list[int], max_items: int, max_bytes: int) -> None:
    found = list(chunk_slices(sizes, max_items, max_bytes))
    for chunk in found[:-1]:
        grown = sizes[chunk.start : chunk.stop + 1]
        assert len(grown) > max_items or sum(size + field_overhead(size) for size in grown) > max_bytes


@given(st.lists(st.text(max_size=200), max_size=50), st.integers(0, 40_000))
def test_the_field_overhead_is_that_of_protobuf(contents: list[str], long: int) -> None:
    texts = [text_pb2.Text(content=content) for content in [*contents, "x" * long]]
    counted = sum(text.ByteSize() + field_overhead(text.ByteSize()) for text in texts)
    assert sentiment_pb2.AnalyzeSentimentRequest(texts=texts).ByteSize() == counted


def sentiment_requests(texts: list[Text], chunk_texts: int) -> list[sentiment_pb2.AnalyzeSentimentRequest]:
    request = sentiment_request(
        texts,
        model="german-sentiment",
        long_texts=LongTexts.CUT,
        priority=None,
        sentences=False,
        offsets=Offsets.CODE_POINTS,
        chunk_texts=chunk_texts,
    )
    requests = list(request.chunks)
    assert [items for _, items in requests] == [len(request.texts) for request, _ in requests]
    return [request for request, _ in requests]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=60), st.integers(1, 25)
)
def test_every_text_is_sent_exactly_once_in_order(contents: list[str], chunk_texts: int) -> None:
    texts = [Text(content, id=str(index)) for index, content in enumerate(contents)]
    requests = sentiment_requests(texts, chunk_texts)
    sent = [Text(text.content, text.id) for request in requests for text in request.texts]
    assert sent == texts
    assert all(len(request.texts) <= chunk_texts for request in requests)
    assert all(request.model == "german-sentiment" for request in requests)


def test_requests_with_large_texts_fit_into_a_message() -> None:
    texts = [Text("x" * (3 * 2**20), id=str(index)) for index in range(12)]
    requests = sentiment_requests(texts, 10_000)
    assert [len(request.texts) for request in requests] == [5, 5, 2]
    assert all(request.ByteSize() <= MAX_REQUEST_BYTES for request in requests)


def test_ten_thousand_and_one_texts_are_two_requests() -> None:
    requests = sentiment_requests([Text("x")] * 10_001, 10_000)
    assert [len(request.texts) for request in requests] == [10_000, 1]


def test_a_pair_counts_as_two_texts() -> None:
    request = pair_request(
        [("a", "b")] * 10_001, model="", long_texts=LongTexts.CUT, priority=None, chunk_texts=10_000
    )
    assert [items for _, items in request.chunks] == [5_000, 5_000, 1]


def test_a_response_whose_reading_is_interrupted_is_delivered_with_the_later_ones() -> None:
    """Ctrl-C may come while a response is converted. It was answered, so its results are not lost."""
    request = sentiment_request(
        ["a", "b", "c"], model="", long_texts=LongTexts.CUT, priority=None, sentences=False,
        offsets=Offsets.CODE_POINTS, chunk_texts=1,
    )  # fmt: skip
    interrupts = [False, True, False, False]

    def read(response: sentiment_pb2.AnalyzeSentimentResponse) -> Sequence[Sentiment]:
        if interrupts.pop(0):
            raise KeyboardInterrupt
        return request.read(response)

    delivered: list[int] = []
    collector = ResultCollector(
        replace(request, read=read), lambda start, part: delivered.extend([start] * len(part))
    )
    response = sentiment_pb2.AnalyzeSentimentResponse(
        results=[sentiment_pb2.SentimentResult(label=sentiment_pb2.SENTIMENT_LABEL_POSITIVE)]
    )
    collector.add(response, 1)
    with pytest.raises(KeyboardInterrupt):
        collector.add(response, 1)
    collector.deliver_later([(response, 1)])
    assert delivered == [0, 1, 2]


def test_a_call_whose_response_could_not_be_read_yet_is_read_at_the_end() -> None:
    class Future:
        def __init__(self) -> None:
            self.interrupts = [True]

        def add_done_callback(self, callback: Callable[[object], None]) -> None:
            callback(self)

        def done(self) -> bool:
            return True

        def result(self) -> str:
            if self.interrupts:
                self.interrupts.pop()
                raise KeyboardInterrupt
            return "response"

    calls: PendingCalls[str, str] = PendingCalls(
        lambda _request, _timeout: Future(), lambda error: ClientError(str(error))
    )
    call = calls.start("request", RetryBudget(WorkerAvailability("target"), 10.0))
    with pytest.raises(KeyboardInterrupt):
        calls.result(call)
    calls.read_arrived([call])
    assert call.response == "response"
