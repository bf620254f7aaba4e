"""Streams of vectors: results of the right texts, also over workers that fail, and partial results."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc
import pytest

from qda.v1 import embedding_pb2, processing_pb2, text_pb2
from qda_worker.client import (
    Client,
    ClientError,
    EmbeddingKind,
    InvalidRequest,
    LongTexts,
    NotReady,
    Numbers,
    ServerFailed,
    Settings,
    Text,
)
from qda_worker.client.vector_stream import VectorStreams
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse

ALL: Final = (EmbeddingKind.DENSE, EmbeddingKind.SPARSE, EmbeddingKind.MULTI_VECTOR)


MULTI: Final = (EmbeddingKind.MULTI_VECTOR,)


TEXTS: Final = [f"Text {'x' * (number % 7)} {number}" for number in range(30)]


def rows(result: Any) -> list[list[float]]:
    return [list(row) for row in result.multi_vector]


def characters(text: str) -> list[list[float]]:
    return [[float(ord(char)), float(place)] for place, char in enumerate(text)]


def test_only_multi_vectors_use_the_stream_by_default(worker: FakeWorker, invoke: Invoke) -> None:
    invoke(Settings(worker.target), "embed", TEXTS)
    answer = invoke(Settings(worker.target), "embed", TEXTS, kinds=ALL)
    assert [call.method for call in worker.calls] == ["EmbedRequest", "EmbedStreamRequest"]
    assert [rows(result) for result in answer] == [characters(text) for text in TEXTS]
    assert [result.dense[0] for result in answer] == [len(text) for text in TEXTS]
    assert answer[0].sparse.tokens == ("▁gut", "▁und")
    assert answer.provenance.model == "multilingual-embedding"
    assert (answer.timings.queue, answer.timings.total) == (0.25, 2.0)


def test_a_text_that_cannot_be_sent_keeps_its_place_in_a_broken_stream(
    worker: FakeWorker, invoke: Invoke
) -> None:
    worker.stream_breaks = [1, 1]
    results = invoke(Settings(worker.target), "embed_stream", ["a", "ab", "\ud83d", "abc", "\udc80"])
    assert [result.ok for result in results] == [True, True, False, True, False]
    assert [result.dense[0] for result in results if result.ok] == [1.0, 2.0, 3.0]
    assert [result.error.reason for result in results if not result.ok] == ["TEXT_NOT_UTF8"] * 2


def test_the_caller_can_choose_the_stream(worker: FakeWorker, invoke: Invoke) -> None:
    seen: list[tuple[int, int]] = []
    answer = invoke(
        Settings(worker.target),
        "embed",
        ["aber", "", "ja"],
        stream=True,
        long_texts=LongTexts.WINDOW,
        numbers=Numbers.FLOAT16,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [result.ok for result in answer] == [True, False, True]
    assert answer[1].error.reason == "TEXT_EMPTY"
    assert list(answer[2].dense) == [2.0, 1.0]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    request = worker.calls[0].request
    assert request.options.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16
    assert request.long_text_policy == 3
    assert request.priority == processing_pb2.PRIORITY_UNSPECIFIED


def test_any_number_of_texts_is_sent_in_several_streams(worker: FakeWorker, invoke: Invoke) -> None:
    many = [Text("ab", id=str(number)) for number in range(4_500)]
    results = invoke(Settings(worker.target), "embed_stream", iter(many))
    assert [result.id for result in results] == [text.id for text in many]
    assert [len(call.request.texts) for call in worker.calls] == [2_000, 2_000, 500]


def test_texts_are_read_as_results_are_taken(client: Client) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "gut"

    results = client.embed_stream(endless())
    assert all(next(results).ok for _ in range(2_100))
    assert taken == 4_000


@pytest.mark.parametrize("method", ["embed", "embed_stream"])
def test_a_broken_stream_continues_without_the_rows_of_an_incomplete_text(
    worker: FakeWorker, invoke: Invoke, method: str
) -> None:
    worker.stream_breaks = [7, 0, 11]
    results = invoke(Settings(worker.target), method, TEXTS, kinds=MULTI)
    assert [rows(result) for result in results] == [characters(text) for text in TEXTS]
    assert [len(call.request.texts) for call in worker.calls] == [30, 23, 23, 12]


def test_an_error_has_the_results_of_the_stream_before_it(worker: FakeWorker, invoke: Invoke) -> None:
    worker.stream_breaks = [7, *[0] * 200]
    with pytest.raises(NotReady) as caught:
        invoke(Settings(worker.target, timeout=1), "embed", TEXTS, kinds=MULTI)
    partial = caught.value.partial
    assert partial is not None
    assert [rows(result) for result in partial] == [characters(text) for text in TEXTS[:7]]
    assert partial.provenance.model == "multilingual-embedding"


def test_an_error_before_any_result_has_no_partial_answer(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(grpc.StatusCode.INTERNAL, "INTERNAL")]
    for kinds in (MULTI, (EmbeddingKind.DENSE,)):
        worker.faults = [refuse(grpc.StatusCode.INTERNAL, "INTERNAL")]
        with pytest.raises(ClientError) as caught:
            invoke(Settings(worker.target), "embed", ["gut"], kinds=kinds)
        assert caught.value.partial is None


def test_an_invalid_request_is_not_retried(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")] * 5
    with pytest.raises(InvalidRequest):
        invoke(Settings(worker.target), "embed", ["gut"], kinds=MULTI)
    assert len(worker.calls) == 1


def part(**fields: Any) -> embedding_pb2.EmbedStreamResponse:
    return embedding_pb2.EmbedStreamResponse(**fields)


def row(**fields: Any) -> embedding_pb2.EmbedStreamResponse:
    tensor = embedding_pb2.Tensor(
        shape=[1, 1], element_type=embedding_pb2.ELEMENT_TYPE_FLOAT32, data=b"\0" * 4
    )
    return part(
        rows=embedding_pb2.EmbedStreamRows(
            kind=embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR, rows=tensor, **fields
        )
    )


@pytest.mark.parametrize(
    "broken",
    [
        [row(item_index=1)],
        [row(row_offset=1)],
        [row(), row()],
        [part(item=embedding_pb2.EmbedStreamItem(item_index=1))],
        [row(), part(item=embedding_pb2.EmbedStreamItem(multi_vector_row_count=2))],
        [part(item=embedding_pb2.EmbedStreamItem())],
        [part(trailer=embedding_pb2.EmbedStreamTrailer())],
    ],
    ids=["another text", "a hole", "rows twice", "another item", "lost rows", "no trailer", "no item"],
)
def test_an_inconsistent_stream_is_an_error(broken: list[Any]) -> None:
    streams = VectorStreams([text_pb2.Text(content="x")], embedding_pb2.EmbedStreamRequest(), {})
    assert streams.next_request() is not None
    with pytest.raises(ServerFailed, match=r"worker|stream"):
        read_all(streams, broken)


def read_all(streams: VectorStreams, parts: Sequence[embedding_pb2.EmbedStreamResponse]) -> None:
    for each in parts:
        streams.read(each)
    streams.end()
