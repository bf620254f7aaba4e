"""All kinds of vectors over gRPC: equal to the plain formulas, streamed in parts, refused beyond the message limit."""

from typing import Any, Final

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from qda.v1 import embedding_pb2 as pb
from qda.v1 import embedding_pb2_grpc, model_pb2, model_pb2_grpc, text_pb2
from qda_worker.limits import MAX_RESPONSE_BYTES
from tests.service.models.plain_m3 import PlainM3
from tests.service.worker.calls import TIMEOUT, error_info, reason, refused_status, texts
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess

STATEMENTS: Final = (
    "Das war sehr gut, und die Stadt ist schön!",
    "nicht schlecht",
    "😀🎉",
    " ",
    "NUL\x00 mitten im Wort",
    "das ist gut " * 40,  # longer than the model reads
)
ALL: Final = [pb.EMBEDDING_KIND_DENSE, pb.EMBEDDING_KIND_SPARSE, pb.EMBEDDING_KIND_MULTI_VECTOR]
MULTI: Final = [pb.EMBEDDING_KIND_MULTI_VECTOR]
WINDOW: Final = text_pb2.LONG_TEXT_POLICY_WINDOW
TOLERANCE: Final = 1e-5  # float32: a batch's padding changes the last bits


def stub(channel: grpc.Channel) -> embedding_pb2_grpc.EmbeddingServiceStub:
    return embedding_pb2_grpc.EmbeddingServiceStub(channel)


def embed(channel: grpc.Channel, *contents: str, **options: Any) -> pb.EmbedResponse:
    embedding_options = pb.EmbeddingOptions(**options)
    return stub(channel).Embed(
        pb.EmbedRequest(texts=texts(*contents), options=embedding_options), timeout=TIMEOUT
    )


def streamed(channel: grpc.Channel, request: pb.EmbedStreamRequest) -> list[pb.EmbedStreamResponse]:
    return list(stub(channel).EmbedStream(request, timeout=TIMEOUT))


def stream(channel: grpc.Channel, *contents: str, **options: Any) -> list[pb.EmbedStreamResponse]:
    embedding_options = pb.EmbeddingOptions(**options)
    return streamed(channel, pb.EmbedStreamRequest(texts=texts(*contents), options=embedding_options))


def array(tensor: pb.Tensor) -> NDArray[np.float32]:
    if tensor.element_type == pb.ELEMENT_TYPE_FLOAT_LIST:
        flat = np.array(tensor.values, np.float32)
    else:
        kind = "<f2" if tensor.element_type == pb.ELEMENT_TYPE_FLOAT16 else "<f4"
        flat = np.frombuffer(tensor.data, kind).astype(np.float32)
    return flat.reshape(list(tensor.shape))


def weights(sparse: pb.SparseVector) -> dict[str, float]:
    return dict(zip(sparse.tokens, sparse.weights, strict=True))


def test_all_kinds_equal_the_published_formulas(cache_fixture: CacheFixture, channel: grpc.Channel) -> None:
    plain = PlainM3(cache_fixture.path("tiny-embedding"), 64)
    response = embed(channel, *STATEMENTS, kinds=ALL)
    for statement, result in zip(STATEMENTS, response.results, strict=True):
        expected = plain(statement)
        np.testing.assert_allclose(array(result.dense), expected.dense, atol=TOLERANCE)
        np.testing.assert_allclose(array(result.multi_vector), expected.multi, atol=TOLERANCE)
        assert weights(result.sparse) == pytest.approx(expected.sparse, abs=TOLERANCE)


def test_only_the_requested_kinds_are_sent(channel: grpc.Channel) -> None:
    [result] = embed(channel, "gut", kinds=[pb.EMBEDDING_KIND_SPARSE]).results
    assert result.HasField("sparse")
    assert not result.HasField("dense")
    assert not result.HasField("multi_vector")


@pytest.mark.parametrize(
    "element", [pb.ELEMENT_TYPE_FLOAT32, pb.ELEMENT_TYPE_FLOAT16, pb.ELEMENT_TYPE_FLOAT_LIST]
)
@pytest.mark.parametrize("policy", [text_pb2.LONG_TEXT_POLICY_CUT, WINDOW])
def test_the_stream_sends_the_same_vectors_in_parts(
    channel: grpc.Channel, element: pb.ElementType.ValueType, policy: text_pb2.LongTextPolicy.ValueType
) -> None:
    contents = texts(*STATEMENTS, "", "das ist gut " * 2000)
    options = pb.EmbeddingOptions(kinds=ALL, element_type=element)
    request: dict[str, Any] = {"texts": contents, "options": options, "long_text_policy": policy}
    whole = stub(channel).Embed(pb.EmbedRequest(**request), timeout=TIMEOUT)
    parts = streamed(channel, pb.EmbedStreamRequest(**request))
    assert parts[0].header.provenance == whole.provenance
    assert parts[-1].HasField("trailer")
    assert max(part.ByteSize() for part in parts) <= 2**20
    found: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
    ended: list[pb.EmbedStreamItem] = []
    for part in parts[1:-1]:
        if part.HasField("item"):
            assert part.item.item_index == len(ended)
            ended.append(part.item)
            continue
        rows = part.rows
        assert rows.item_index == len(ended)  # each text's rows come before its item
        before = found.setdefault((rows.item_index, rows.kind), [])
        assert rows.row_offset == sum(map(len, before))
        before.append(array(rows.rows))
    assert len(ended) == len(whole.results)
    for index, (result, item) in enumerate(zip(whole.results, ended, strict=True)):
        assert (item.id, item.usage) == (result.id, result.usage)
        assert item.HasField("status") == result.HasField("status") == (index == len(STATEMENTS))
        if result.HasField("status"):
            assert error_info(item.status).reason == "TEXT_EMPTY"
            continue
        dense = np.concatenate(found[index, pb.EMBEDDING_KIND_DENSE])
        multi = np.concatenate(found[index, pb.EMBEDDING_KIND_MULTI_VECTOR])
        loose = 2e-3 if element == pb.ELEMENT_TYPE_FLOAT16 else TOLERANCE
        np.testing.assert_allclose(dense[0], array(result.dense), atol=loose)
        np.testing.assert_allclose(multi, array(result.multi_vector), atol=loose)
        assert len(multi) == item.multi_vector_row_count == result.usage.used_token_count - 1
        assert weights(item.sparse) == pytest.approx(weights(result.sparse), abs=TOLERANCE)


def test_parts_are_split_at_one_mebibyte(channel: grpc.Channel) -> None:
    request = pb.EmbedStreamRequest(
        texts=texts("das ist gut " * 4000),
        options=pb.EmbeddingOptions(kinds=MULTI),
        long_text_policy=WINDOW,
    )
    parts = streamed(channel, request)
    sizes = [part.ByteSize() for part in parts if part.HasField("rows")]
    assert len(sizes) == 2  # 12,001 rows of 128 bytes
    assert sizes[0] > 0.99 * 2**20


@pytest.mark.parametrize("kinds", [[pb.EMBEDDING_KIND_SPARSE], MULTI, ALL])
def test_a_kind_that_the_model_does_not_support_is_refused(channel: grpc.Channel, kinds: list[Any]) -> None:
    for make, call in (
        (pb.EmbedRequest, stub(channel).Embed),
        (pb.EmbedStreamRequest, stub(channel).EmbedStream),
    ):
        options = pb.EmbeddingOptions(kinds=kinds)
        status = refused_status(call, make(texts=texts("gut"), model="tiny-paraphrase", options=options))
        assert reason(status) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
        assert "EMBEDDING_KIND_DENSE" in error_info(status).metadata["remedy"]


def test_list_models_has_the_kinds_of_each_model(channel: grpc.Channel) -> None:
    listed = model_pb2_grpc.ModelServiceStub(channel).ListModels(
        model_pb2.ListModelsRequest(), timeout=TIMEOUT
    )
    kinds = {model.key: list(model.embedding_kinds) for model in listed.models}
    assert kinds["tiny-embedding"] == ALL
    assert kinds["tiny-paraphrase"] == [pb.EMBEDDING_KIND_DENSE]
    assert kinds["tiny-sentiment"] == kinds["tiny-ner"] == []


@pytest.mark.parametrize("unit", [False, True])
def test_shortened_vectors_are_the_first_numbers_normalised_on_request(
    channel: grpc.Channel, unit: bool
) -> None:
    def dense(count: int) -> NDArray[np.float32]:
        options = pb.EmbeddingOptions(dimension_count=count, normalize=unit)
        request = pb.EmbedRequest(texts=texts("das Haus"), model="tiny-paraphrase", options=options)
        return array(stub(channel).Embed(request, timeout=TIMEOUT).results[0].dense)

    beginning = dense(0)[:8]
    expected = beginning / np.linalg.norm(beginning) if unit else beginning
    np.testing.assert_allclose(dense(8), expected, atol=TOLERANCE)
    listed = model_pb2_grpc.ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest())
    allowed = {model.key: list(model.shortened_dimension_counts) for model in listed.models}
    assert allowed["tiny-paraphrase"] == [8]
    assert allowed["tiny-embedding"] == []


def test_a_response_beyond_the_limit_is_refused_before_computing(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    """The size is counted in tokens: 10,000 short texts fit, long ones do not, but do in float16."""
    many = ["gut"] * 10_000
    assert len(embed(channel, *many, kinds=MULTI).results) == 10_000
    row = 63 * 32 * 4
    long = ["das ist gut " * 40] * (MAX_RESPONSE_BYTES // row + 1)
    request = pb.EmbedRequest(texts=texts(*long), options=pb.EmbeddingOptions(kinds=MULTI))
    status = refused_status(stub(channel).Embed, request, metadata=(("x-qda-caller", "too-much"),))
    assert reason(status) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert "EmbedStream" in error_info(status).metadata["remedy"]
    worker.wait_for("line", lambda: any(e["caller"] == "too-much" for e in worker.events("call.ended")))
    [line] = [event for event in worker.events("call.ended") if event["caller"] == "too-much"]
    assert line["tokens"] == line["items"] == 0
    half = embed(channel, *long, kinds=MULTI, element_type=pb.ELEMENT_TYPE_FLOAT16)
    assert len(half.results) == len(long)


def test_a_client_that_does_not_read_stops_the_computing(worker: ServeProcess) -> None:
    count = 4000
    request = pb.EmbedStreamRequest(
        texts=texts(*["das ist gut " * 40] * count), options=pb.EmbeddingOptions(kinds=MULTI)
    )
    with worker.channel() as channel:
        call = stub(channel).EmbedStream(request, timeout=TIMEOUT, metadata=(("x-qda-caller", "slow"),))
        assert next(call).HasField("header")
        for _ in range(3):
            next(call)
        others = embed(channel, "gut", kinds=MULTI)  # meanwhile others are served
        assert others.results[0].HasField("multi_vector")
        call.cancel()
    worker.wait_for("line", lambda: any(e["caller"] == "slow" for e in worker.events("call.ended")))
    [line] = [event for event in worker.events("call.ended") if event["caller"] == "slow"]
    assert line["status"] == "CANCELLED"
    assert 0 < line["items"] < count / 2
