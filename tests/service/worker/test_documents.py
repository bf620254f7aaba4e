"""AnalyzeDocuments: the same answers as the unary calls, in order; a bad document fails alone."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Final

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from qda.v1 import analysis_pb2 as pb
from qda.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    sentiment_pb2,
    sentiment_pb2_grpc,
    text_pb2,
)
from tests.service.worker.calls import TIMEOUT, detail, error_info, reason, refused_status
from tests.service.worker.documents import (
    CODE_POINTS,
    analyze_documents,
    parts,
    results_until_error,
    settings,
    start_stream,
)

DOCUMENTS: Final = [
    text_pb2.Text(content=content, id=f"d{number}")
    for number, content in enumerate(
        [
            "Frau Müller wohnt in Köln.",
            "   ",
            "😀 Merkel 👩‍👩‍👧 in Berlin",
            "x" * 5_000,
            "sehr gut, " * 40,
            "Siemens\x00 und\nBerlin\r\n",
            "a",
        ]
        * 40
    )
]


def test_each_task_returns_the_results_of_its_unary_call(channel: grpc.Channel) -> None:
    request_settings = settings(sentiment=True, entities=True)
    request_settings.entities.label_scheme = entity_pb2.LABEL_SCHEME_COMMON
    request_settings.offset_encoding = text_pb2.OFFSET_ENCODING_UTF16_UNITS
    request_settings.embeddings.add()
    half = request_settings.embeddings.add(model="tiny-paraphrase")
    half.options.element_type = embedding_pb2.ELEMENT_TYPE_FLOAT16
    half.options.normalize = True
    header, results = analyze_documents(channel, request_settings, DOCUMENTS)
    moods = sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment(
        sentiment_pb2.AnalyzeSentimentRequest(texts=DOCUMENTS), timeout=TIMEOUT
    )
    names = entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities(
        entity_pb2.RecognizeEntitiesRequest(
            texts=DOCUMENTS,
            offset_encoding=request_settings.offset_encoding,
            label_scheme=request_settings.entities.label_scheme,
        ),
        timeout=TIMEOUT,
    )
    vectors = [
        embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed(
            embedding_pb2.EmbedRequest(texts=DOCUMENTS, model=task.model, options=task.options),
            timeout=TIMEOUT,
        )
        for task in request_settings.embeddings
    ]
    assert [result.id for result in results] == [document.id for document in DOCUMENTS]
    assert [result.entities for result in results] == list(names.results)
    assert header.sentiment_provenance == moods.provenance
    assert header.entity_provenance == names.provenance
    assert list(header.embedding_provenances) == [each.provenance for each in vectors]
    assert header.offset_encoding == request_settings.offset_encoding
    for number, result in enumerate(results):
        mood = moods.results[number]
        assert (result.sentiment.label, result.sentiment.usage) == (mood.label, mood.usage)
        assert result.sentiment.probabilities.positive == pytest.approx(mood.probabilities.positive, abs=1e-5)
        for got, plain in zip(result.embeddings, vectors, strict=True):
            assert got.usage == plain.results[number].usage
            assert_close(got.dense, plain.results[number].dense)
        assert result.timings.HasField("total_duration")


def assert_close(got: embedding_pb2.Tensor, plain: embedding_pb2.Tensor) -> None:
    """Compare numbers up to the last bits, which depend on the batch."""
    kind = "<f2" if got.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16 else "<f4"
    tolerance = 2e-3 if kind == "<f2" else 1e-5
    assert (got.shape, got.element_type) == (plain.shape, plain.element_type)
    assert np.allclose(np.frombuffer(got.data, kind), np.frombuffer(plain.data, kind), atol=tolerance)


def test_a_stream_without_documents_has_only_a_header(channel: grpc.Channel) -> None:
    header, results = analyze_documents(channel, settings(sentiment=True), [])
    assert header.sentiment_provenance.model == "tiny-sentiment"
    assert not header.HasField("entity_provenance")
    assert results == []


def test_the_header_comes_before_the_first_document_is_sent(channel: grpc.Channel) -> None:
    """A client may wait for it to learn which models answer."""
    arrived = threading.Event()

    def requests() -> Any:
        yield pb.AnalyzeDocumentsRequest(settings=settings(entities=True))
        assert arrived.wait(TIMEOUT)
        yield pb.AnalyzeDocumentsRequest(document=DOCUMENTS[0])

    call = start_stream(channel, requests())
    assert next(call).header.entity_provenance.model == "tiny-ner"
    arrived.set()
    assert [part.result.id for part in call] == ["d0"]


def test_a_document_is_answered_before_the_next_is_sent(channel: grpc.Channel) -> None:
    """Nothing waits for a batch to fill."""
    outbox: queue.Queue[Any] = queue.Queue()
    call = start_stream(channel, iter(outbox.get, None))
    outbox.put(pb.AnalyzeDocumentsRequest(settings=settings(sentiment=True)))
    assert next(call).HasField("header")
    for number in range(5):
        outbox.put(pb.AnalyzeDocumentsRequest(document=DOCUMENTS[number]))
        assert next(call).result.index == number
    outbox.put(None)
    assert list(call) == []


def test_an_invalid_document_has_a_result_with_a_status(channel: grpc.Channel) -> None:
    documents = [
        text_pb2.Text(content="gut", id="first"),
        text_pb2.Text(content="", id="empty"),
        text_pb2.Text(content="gut", id="i" * 257),
        text_pb2.Text(content="gut", id="last"),
    ]
    _, results = analyze_documents(channel, settings(sentiment=True, entities=True), documents)
    assert [result.HasField("status") for result in results] == [False, True, True, False]
    assert error_info(results[1].status).reason == "TEXT_EMPTY"
    assert error_info(results[2].status).reason == "ARGUMENT_INVALID"
    assert [result.id for result in results] == [document.id for document in documents]
    assert not results[1].HasField("sentiment")


def test_a_document_that_is_not_utf8_fails_alone(channel: grpc.Channel) -> None:
    raw = channel.stream_stream(
        "/qda.v1.AnalysisService/AnalyzeDocuments",
        request_serializer=lambda message: message,
        response_deserializer=pb.AnalyzeDocumentsResponse.FromString,
    )
    messages = [part.SerializeToString() for part in parts(settings(sentiment=True), DOCUMENTS[:3])]
    messages[2] = messages[1].replace("Köln".encode(), b"K\xf6lnn")
    _, first, broken, last = raw(iter(messages), timeout=TIMEOUT)
    assert error_info(broken.result.status).reason == "TEXT_NOT_UTF8"
    bad_request = detail(broken.result.status, error_details_pb2.BadRequest())
    assert bad_request.field_violations[0].field == "document.content"
    assert [part.result.index for part in (first, broken, last)] == [0, 1, 2]
    assert not first.result.HasField("status")
    assert not last.result.HasField("status")


def test_each_task_has_a_status_of_its_own(channel: grpc.Channel) -> None:
    """5,000 characters are too long for the sentiment and not for the entities."""
    request_settings = settings(
        sentiment=True, entities=True, long_text_policy=text_pb2.LONG_TEXT_POLICY_ERROR
    )
    _, (result,) = analyze_documents(channel, request_settings, [text_pb2.Text(content="Merkel " * 700)])
    assert not result.HasField("status")
    assert error_info(result.sentiment.status).reason == "TEXT_TOO_LONG"
    assert len(result.entities.entities) == 700


INVALID: Final[dict[str, tuple[Callable[[], list[Any]], str, str]]] = {
    "nothing at all": (list, "ARGUMENT_INVALID", "settings"),
    "a document first": (
        lambda: [pb.AnalyzeDocumentsRequest(document=DOCUMENTS[0])],
        "ARGUMENT_INVALID",
        "settings",
    ),
    "an empty part first": (lambda: [pb.AnalyzeDocumentsRequest()], "ARGUMENT_INVALID", "settings"),
    "no task": (lambda: [*parts(settings(), [])], "ARGUMENT_INVALID", "settings"),
    "nine embeddings": (
        lambda: [*parts(settings(embeddings=[pb.EmbeddingTask()] * 9), [])],
        "ARGUMENT_INVALID",
        "settings.embeddings",
    ),
    "no encoding": (
        lambda: [*parts(pb.AnalyzeDocumentsSettings(entities=pb.EntityTask()), [])],
        "ENCODING_MISSING",
        "settings.offset_encoding",
    ),
    "an unknown priority": (
        lambda: [*parts(settings(sentiment=True, priority=77), [])],
        "ARGUMENT_INVALID",
        "settings.priority",
    ),
    "a label that the model does not have": (
        lambda: [
            *parts(
                pb.AnalyzeDocumentsSettings(
                    entities=pb.EntityTask(labels=["PER", "DOG"]), offset_encoding=CODE_POINTS
                ),
                [],
            )
        ],
        "ARGUMENT_INVALID",
        "settings.entities.labels[1]",
    ),
    "multi-vectors": (
        lambda: [
            *parts(
                settings(
                    embeddings=[
                        pb.EmbeddingTask(),
                        pb.EmbeddingTask(
                            options=embedding_pb2.EmbeddingOptions(
                                kinds=[embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR]
                            )
                        ),
                    ]
                ),
                [],
            )
        ],
        "ARGUMENT_INVALID",
        "settings.embeddings[1].options.kinds[0]",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_settings_are_refused_by_field(channel: grpc.Channel, name: str) -> None:
    make, expected, field = INVALID[name]
    status = refused_status(lambda requests, **options: start_stream(channel, requests, **options), make())
    assert reason(status) == ("INVALID_ARGUMENT", expected)
    violations = detail(status, error_details_pb2.BadRequest()).field_violations
    assert [violation.field for violation in violations] == [field]


@pytest.mark.parametrize(
    ("request_settings", "expected"),
    [
        (settings(embeddings=[pb.EmbeddingTask(model="unknown")]), "MODEL_UNKNOWN"),
        (settings(embeddings=[pb.EmbeddingTask(model="tiny-ner")]), "MODEL_WRONG_TASK"),
    ],
)
def test_a_wrong_model_is_refused(
    channel: grpc.Channel, request_settings: pb.AnalyzeDocumentsSettings, expected: str
) -> None:
    status = refused_status(
        lambda requests, **options: start_stream(channel, requests, **options), [*parts(request_settings, [])]
    )
    assert reason(status) == ("INVALID_ARGUMENT", expected)


@pytest.mark.parametrize(
    "part", [pb.AnalyzeDocumentsRequest(settings=settings(sentiment=True)), pb.AnalyzeDocumentsRequest()]
)
def test_a_part_out_of_place_ends_the_stream_after_the_results_before_it(
    channel: grpc.Channel, part: pb.AnalyzeDocumentsRequest
) -> None:
    requests = [*parts(settings(sentiment=True), DOCUMENTS[:3]), part]
    results, error = results_until_error(start_stream(channel, requests))
    assert [result.index for result in results] == [0, 1, 2]
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_over_the_limit_ends_the_stream(channel: grpc.Channel) -> None:
    large = text_pb2.Text(content="x" * (16 * 2**20))
    _, error = results_until_error(start_stream(channel, parts(settings(sentiment=True), [large])))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
