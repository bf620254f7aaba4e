"""Bad input is refused with a reason and a remedy, does not affect other texts, and never stops the server."""

from collections.abc import Callable
from typing import Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2

from qda.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    sentiment_pb2,
    sentiment_pb2_grpc,
    text_pb2,
)
from tests.service.worker.calls import TIMEOUT, detail, error_info, reason, refused_status, texts
from tests.service.worker.process import ServeProcess

# An enum number that the proto does not have; the stubs' types would refuse it.
UNKNOWN: Final[Any] = 99
POINTS: Final = text_pb2.OFFSET_ENCODING_CODE_POINTS


def sentiment(**fields: Any) -> sentiment_pb2.AnalyzeSentimentRequest:
    return sentiment_pb2.AnalyzeSentimentRequest(**fields)


def entities(**fields: Any) -> entity_pb2.RecognizeEntitiesRequest:
    return entity_pb2.RecognizeEntitiesRequest(
        **{"texts": texts("Köln"), "offset_encoding": POINTS, **fields}
    )


def embed(**options: Any) -> embedding_pb2.EmbedRequest:
    return embedding_pb2.EmbedRequest(texts=texts("Köln"), options=embedding_pb2.EmbeddingOptions(**options))


def pairs(*sides: tuple[text_pb2.Text | None, text_pb2.Text | None]) -> paraphrase_pb2.ScorePairsRequest:
    messages = [paraphrase_pb2.TextPair(first=first, second=second) for first, second in sides]
    return paraphrase_pb2.ScorePairsRequest(pairs=messages)


WHOLE_CALL: Final = {
    "no texts": (sentiment(), "ARGUMENT_INVALID", "send at least one"),
    "10,001 texts": (
        sentiment(texts=[text_pb2.Text(content="x")] * 10_001),
        "TOO_MANY_TEXTS",
        "several requests",
    ),
    "an id too long": (
        sentiment(texts=[text_pb2.Text(content="x", id="ä" * 129)]),
        "ARGUMENT_INVALID",
        "shorter ids",
    ),
    "an unknown model": (
        sentiment(texts=texts("x"), model="tiny-sentimnt"),
        "MODEL_UNKNOWN",
        'did you mean "tiny-sentiment"?',
    ),
    "a model of another task": (
        sentiment(texts=texts("x"), model="tiny-ner"),
        "MODEL_WRONG_TASK",
        "tiny-sentiment",
    ),
    "an unknown policy": (
        sentiment(texts=texts("x"), long_text_policy=UNKNOWN),
        "ARGUMENT_INVALID",
        "no value 99",
    ),
    "an unknown priority": (sentiment(texts=texts("x"), priority=UNKNOWN), "ARGUMENT_INVALID", "no value 99"),
    "sentences without an encoding": (
        sentiment(texts=texts("x"), include_sentences=True),
        "ENCODING_MISSING",
        "OFFSET_ENCODING_CODE_POINTS",
    ),
    "no encoding": (entities(offset_encoding=0), "ENCODING_MISSING", "OFFSET_ENCODING_CODE_POINTS"),
    "an unknown encoding": (entities(offset_encoding=UNKNOWN), "ARGUMENT_INVALID", "no value 99"),
    "an unknown label": (entities(labels=["PERS"]), "ARGUMENT_INVALID", "LOC, ORG, PER"),
    "an unspecified kind": (embed(kinds=[0]), "ARGUMENT_INVALID", "EMBEDDING_KIND_DENSE"),
    "shortened vectors": (embed(dimension_count=16), "ARGUMENT_INVALID", "leave it 0"),
    "an unknown element type": (embed(element_type=UNKNOWN), "ARGUMENT_INVALID", "no value 99"),
    "no pairs": (pairs(), "ARGUMENT_INVALID", "send at least one"),
    "a side missing": (pairs((text_pb2.Text(content="x"), None)), "ARGUMENT_INVALID", "pairs[0].second"),
    "5,001 pairs": (
        pairs(*[(text_pb2.Text(content="x"), text_pb2.Text(content="y"))] * 5001),
        "TOO_MANY_TEXTS",
        "at most 5000",
    ),
}


def method_for(channel: grpc.Channel, request: Any) -> Callable[..., Any]:
    methods: dict[type, Callable[..., Any]] = {
        sentiment_pb2.AnalyzeSentimentRequest: sentiment_pb2_grpc.SentimentServiceStub(
            channel
        ).AnalyzeSentiment,
        entity_pb2.RecognizeEntitiesRequest: entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities,
        embedding_pb2.EmbedRequest: embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed,
        paraphrase_pb2.ScorePairsRequest: paraphrase_pb2_grpc.ParaphraseServiceStub(channel).ScorePairs,
    }
    return methods[type(request)]


@pytest.mark.parametrize("case", WHOLE_CALL)
def test_an_invalid_request_is_refused_with_reason_and_remedy(channel: grpc.Channel, case: str) -> None:
    request, expected, hint = WHOLE_CALL[case]
    status = refused_status(method_for(channel, request), request)
    assert reason(status) == ("INVALID_ARGUMENT", expected)
    assert hint in status.message


def test_the_first_twenty_fields_at_fault_are_named(channel: grpc.Channel) -> None:
    request = sentiment(texts=[text_pb2.Text(content="x", id="i" * 300)] * 50)
    status = refused_status(method_for(channel, request), request)
    violations = detail(status, error_details_pb2.BadRequest()).field_violations
    assert [violation.field for violation in violations] == [f"texts[{number}].id" for number in range(20)]
    assert error_info(status).metadata["violation_count"] == "50"


def test_an_empty_text_fails_alone(channel: grpc.Channel) -> None:
    request = sentiment(texts=texts("das ist gut", "", " ", "😀"))
    results = method_for(channel, request)(request, timeout=TIMEOUT).results
    assert [result.HasField("status") for result in results] == [False, True, False, False]
    assert reason(results[1].status) == ("INVALID_ARGUMENT", "TEXT_EMPTY")
    assert results[1].id == "t1"
    assert results[1].label == sentiment_pb2.SENTIMENT_LABEL_UNSPECIFIED


def test_an_empty_side_fails_only_its_own_pair(channel: grpc.Channel) -> None:
    full, empty = text_pb2.Text(content="x"), text_pb2.Text(content="")
    request = pairs((full, full), (full, empty))
    results = method_for(channel, request)(request, timeout=TIMEOUT).results
    assert results[0].score == pytest.approx(1.0)
    assert reason(results[1].status) == ("INVALID_ARGUMENT", "TEXT_EMPTY")
    assert "second" in results[1].status.message


def test_a_text_too_long_fails_under_the_policy_error(channel: grpc.Channel) -> None:
    request = sentiment(texts=texts("gut " * 100, "gut"), long_text_policy=text_pb2.LONG_TEXT_POLICY_ERROR)
    results = method_for(channel, request)(request, timeout=TIMEOUT).results
    assert reason(results[0].status) == ("INVALID_ARGUMENT", "TEXT_TOO_LONG")
    assert not results[1].HasField("status")


def test_a_text_of_more_than_a_megabyte_is_answered_and_reported_as_cut(channel: grpc.Channel) -> None:
    long = "das ist gut und Köln ist schön " * 36_000
    request = embedding_pb2.EmbedRequest(texts=texts(long, "kurz"))
    results = method_for(channel, request)(request, timeout=TIMEOUT).results
    usage = results[0].usage
    assert usage.outcome == text_pb2.LONG_TEXT_OUTCOME_CUT
    assert (usage.character_count, usage.used_token_count) == (len(long), 64)
    entity_request = entities(texts=texts(long))
    cut = method_for(channel, entity_request)(entity_request, timeout=TIMEOUT).results[0]
    assert cut.usage.outcome == text_pb2.LONG_TEXT_OUTCOME_CUT
    assert len(cut.entities) > 30_000


def test_nul_is_a_character_like_any_other(channel: grpc.Channel) -> None:
    request = entities(texts=texts("\x00 Köln\x00 in Berlin \x00"))
    found = method_for(channel, request)(request, timeout=TIMEOUT).results[0]
    assert found.usage.character_count == 19
    assert [(entity.text, entity.span.start) for entity in found.entities] == [("Berlin", 11)]


def raw_call(channel: grpc.Channel, method: str) -> Any:
    """Return a unary call that sends raw bytes."""
    return channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)


ANALYZE: Final = "/qda.v1.SentimentService/AnalyzeSentiment"


def test_bytes_that_are_not_utf8_are_refused_by_field(channel: grpc.Channel) -> None:
    data = sentiment(texts=texts("gut", "schlecht")).SerializeToString().replace(b"schlecht", b"schl\xe4cht")
    status = refused_status(raw_call(channel, ANALYZE), data)
    assert reason(status) == ("INVALID_ARGUMENT", "TEXT_NOT_UTF8")
    violations = detail(status, error_details_pb2.BadRequest()).field_violations
    assert [violation.field for violation in violations] == ["texts[1].content"]


def test_bytes_that_are_not_utf8_are_refused_in_a_stream_as_well(channel: grpc.Channel) -> None:
    search = paraphrase_pb2.FindParaphrasesSettings(threshold=0.5)
    part = paraphrase_pb2.TextChunk(texts=texts("schlecht"))
    settings = paraphrase_pb2.FindParaphrasesRequest(settings=search).SerializeToString()
    chunk = paraphrase_pb2.FindParaphrasesRequest(texts=part).SerializeToString()
    call = channel.stream_stream(
        "/qda.v1.ParaphraseService/FindParaphrases", request_serializer=bytes, response_deserializer=bytes
    )
    status = refused_status(call, iter([settings, chunk.replace(b"schlecht", b"schl\xe4cht")]))
    assert reason(status) == ("INVALID_ARGUMENT", "TEXT_NOT_UTF8")


def test_a_call_past_its_deadline_leaves_the_queue(worker: ServeProcess, channel: grpc.Channel) -> None:
    request = embedding_pb2.EmbedRequest(
        texts=[text_pb2.Text(content=f"Text {n} " * 20) for n in range(10_000)]
    )
    with pytest.raises(grpc.RpcError) as caught:
        method_for(channel, request)(request, timeout=0.2)
    error: Any = caught.value
    assert error.code() in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    quick = sentiment(texts=texts("gut"))
    assert method_for(channel, quick)(quick, timeout=TIMEOUT).results
    assert worker.health() == "SERVING"
