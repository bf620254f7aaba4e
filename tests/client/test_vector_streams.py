"""Vectors in parts: each text's own, also over workers that go away, and what came before a failure is kept."""

import json
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
from qda_worker.client.streams import VectorStreams
from tests.client import test_cli
from tests.client.conftest import Ask
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse

ALL: Final = (EmbeddingKind.DENSE, EmbeddingKind.SPARSE, EmbeddingKind.MULTI_VECTOR)
MULTI: Final = (EmbeddingKind.MULTI_VECTOR,)
TEXTS: Final = [f"Text {'x' * (number % 7)} {number}" for number in range(30)]


def rows(result: Any) -> list[list[float]]:
    return [list(row) for row in result.multi_vector]


def characters(text: str) -> list[list[float]]:
    return [[float(ord(char)), float(place)] for place, char in enumerate(text)]


def test_multi_vectors_come_by_the_stream_and_the_rest_in_messages(worker: FakeWorker, ask: Ask) -> None:
    ask(Settings(worker.target), "embed", TEXTS)
    answer = ask(Settings(worker.target), "embed", TEXTS, kinds=ALL)
    assert [call.method for call in worker.calls] == ["EmbedRequest", "EmbedStreamRequest"]
    assert [rows(result) for result in answer] == [characters(text) for text in TEXTS]
    assert [result.dense[0] for result in answer] == [len(text) for text in TEXTS]
    assert answer[0].sparse.tokens == ("▁gut", "▁und")
    assert answer.provenance.model == "multilingual-embedding"
    assert (answer.timings.queue, answer.timings.total) == (0.25, 2.0)


def test_the_caller_can_choose_the_stream(worker: FakeWorker, ask: Ask) -> None:
    seen: list[tuple[int, int]] = []
    answer = ask(
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


def test_texts_of_any_number_travel_in_several_streams(worker: FakeWorker, ask: Ask) -> None:
    many = [Text("ab", id=str(number)) for number in range(4_500)]
    results = ask(Settings(worker.target), "embed_stream", iter(many))
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
def test_a_stream_goes_on_at_the_next_worker_and_takes_no_half_text_with_it(
    worker: FakeWorker, ask: Ask, method: str
) -> None:
    worker.stream_breaks = [7, 0, 11]
    results = ask(Settings(worker.target), method, TEXTS, kinds=MULTI)
    assert [rows(result) for result in results] == [characters(text) for text in TEXTS]
    assert [len(call.request.texts) for call in worker.calls] == [30, 23, 23, 12]


def test_what_came_before_a_stream_finally_broke_is_not_lost(worker: FakeWorker, ask: Ask) -> None:
    worker.stream_breaks = [7, *[0] * 200]
    with pytest.raises(NotReady) as caught:
        ask(Settings(worker.target, timeout=1), "embed", TEXTS, kinds=MULTI)
    partial = caught.value.partial
    assert partial is not None
    assert [rows(result) for result in partial] == [characters(text) for text in TEXTS[:7]]
    assert partial.provenance.model == "multilingual-embedding"


def test_what_came_before_a_request_of_many_failed_is_not_lost(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [lambda _: None, lambda _: None, refuse(grpc.StatusCode.INTERNAL, "INTERNAL")]
    settings = Settings(worker.target, chunk_texts=10, in_flight=1)
    with pytest.raises(ServerFailed) as caught:
        ask(settings, "sentiment", ["gut :)"] * 25 + ["nun"] * 25)
    partial = caught.value.partial
    assert partial is not None
    assert [result.label for result in partial] == ["positive"] * 20


def test_a_failure_before_any_result_has_none(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(grpc.StatusCode.INTERNAL, "INTERNAL")]
    for kinds in (MULTI, (EmbeddingKind.DENSE,)):
        worker.script = [refuse(grpc.StatusCode.INTERNAL, "INTERNAL")]
        with pytest.raises(ClientError) as caught:
            ask(Settings(worker.target), "embed", ["gut"], kinds=kinds)
        assert caught.value.partial is None


def test_a_refusal_is_not_tried_again(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")] * 5
    with pytest.raises(InvalidRequest):
        ask(Settings(worker.target), "embed", ["gut"], kinds=MULTI)
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
def test_a_stream_that_contradicts_itself_gives_no_answer(broken: list[Any]) -> None:
    streams = VectorStreams([text_pb2.Text(content="x")], embedding_pb2.EmbedStreamRequest())
    assert streams.request() is not None
    with pytest.raises(ServerFailed, match=r"worker|stream"):
        read_all(streams, broken)


def read_all(streams: VectorStreams, parts: Sequence[embedding_pb2.EmbedStreamResponse]) -> None:
    for each in parts:
        streams.read(each)
    streams.end()


def test_the_shell_client_shows_every_kind(worker: FakeWorker) -> None:
    kinds = [word for kind in ALL for word in ("--kind", kind)]
    table = test_cli.ask(worker, "embed", *kinds, stdin=b"aber").stdout.decode()
    assert "2 tokens    ▁gut=0.500 ▁und=0.250" in table
    assert "4x2         +97.0000 +0.0000 …" in table
    answer = test_cli.ask(worker, "embed", *kinds, "--format", "jsonl", stdin=b"aber\nja")
    first, second = [json.loads(line) for line in answer.stdout.splitlines()]
    assert first["multi_vector"] == characters("aber")
    assert second["sparse"] == {"token_ids": [7, 3], "weights": [0.5, 0.25], "tokens": ["▁gut", "▁und"]}


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_the_shell_client_writes_what_came_before_a_failure(worker: FakeWorker, form: str) -> None:
    worker.script = [lambda _: None] * 4 + [refuse(grpc.StatusCode.INTERNAL, "INTERNAL")] * 4
    lines = b"gut :)\n" * 1_000
    answer = test_cli.ask(worker, "sentiment", "--format", form, stdin=lines)
    assert answer.returncode == 50
    assert b"INTERNAL" in answer.stderr
    if form == "json":
        document = json.loads(answer.stdout)
        assert document["error"]["reason"] == "INTERNAL"
        count = len(document["results"])
    elif form == "jsonl":
        *results, error = [json.loads(line) for line in answer.stdout.splitlines()]
        assert error["reason"] == "INTERNAL"
        count = len(results)
    else:
        count = answer.stdout.decode().count("positive")
        assert f"{count} of 1,000 texts" in answer.stdout.decode()
    assert 0 < count < 1_000
    assert count % 100 == 0
