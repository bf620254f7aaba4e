"""A fault of a request has the same reason in every service; docs/calling.md lists the reasons."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, Final

import grpc
import pytest

from qda.v1 import (
    analysis_pb2,
    analysis_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    sentiment_pb2,
    sentiment_pb2_grpc,
    syntax_pb2,
    syntax_pb2_grpc,
    text_pb2,
)
from tests.service.worker.calls import all_of, reason, refused_status
from tests.service.worker.process import ServeProcess

POINTS: Final = text_pb2.OFFSET_ENCODING_CODE_POINTS
GOOD: Final = [text_pb2.Text(content="Köln", id="a"), text_pb2.Text(content="Bonn", id="a")]
UNKNOWN: Final[Any] = 99
MakeCall = Callable[..., tuple[Any, Any]]


def sentiment(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    request = sentiment_pb2.AnalyzeSentimentRequest(texts=texts, **fields)
    return sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment, request


def entities(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    request = entity_pb2.RecognizeEntitiesRequest(texts=texts, **{"offset_encoding": POINTS, **fields})
    return entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities, request


def syntax(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    request = syntax_pb2.AnalyzeSyntaxRequest(texts=texts, **{"offset_encoding": POINTS, **fields})
    return syntax_pb2_grpc.SyntaxServiceStub(channel).AnalyzeSyntax, request


def embed(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    request = embedding_pb2.EmbedRequest(texts=texts, **fields)
    return embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed, request


def embed_stream(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    request = embedding_pb2.EmbedStreamRequest(texts=texts, **fields)
    return embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream, request


def pairs(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    messages = [paraphrase_pb2.TextPair(first=text, second=text, id=text.id) for text in texts]
    return paraphrase_pb2_grpc.ParaphraseServiceStub(channel).ScorePairs, paraphrase_pb2.ScorePairsRequest(
        pairs=messages, **fields
    )


def search(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    settings = paraphrase_pb2.FindParaphrasesSettings(**{"threshold": 0.5, **fields})
    parts = [
        paraphrase_pb2.FindParaphrasesRequest(settings=settings),
        *(
            paraphrase_pb2.FindParaphrasesRequest(
                texts=paraphrase_pb2.TextChunk(texts=texts[at : at + 10_000])
            )
            for at in range(0, len(texts), 10_000)
        ),
    ]
    return _as_stream(paraphrase_pb2_grpc.ParaphraseServiceStub(channel).FindParaphrases), parts


def analyze(channel: grpc.Channel, texts: list[text_pb2.Text], **fields: Any) -> tuple[Any, Any]:
    task = analysis_pb2.SentimentTask(model=fields.pop("model", ""))
    settings = analysis_pb2.AnalyzeDocumentsSettings(sentiment=task, **fields)
    parts = [
        analysis_pb2.AnalyzeDocumentsRequest(settings=settings),
        *(analysis_pb2.AnalyzeDocumentsRequest(document=text) for text in texts),
    ]
    return _as_stream(analysis_pb2_grpc.AnalysisServiceStub(channel).AnalyzeDocuments), parts


def _as_stream(call: Any) -> Callable[..., Any]:
    return lambda parts, **options: call(iter(parts), **options)


UNARY: Final[tuple[MakeCall, ...]] = (sentiment, entities, syntax, embed, embed_stream, pairs)
ALL: Final[tuple[MakeCall, ...]] = (*UNARY, search, analyze)
LONG_ID: Final = [text_pb2.Text(content="x", id="ä" * 129)]
MANY: Final = [text_pb2.Text(content="x")] * 100_000

CASES: Final[list[tuple[str, tuple[MakeCall, ...], list[text_pb2.Text], dict[str, Any], str]]] = [
    ("no texts", UNARY, [], {}, "ARGUMENT_INVALID"),
    ("100,000 texts", UNARY, MANY, {}, "TOO_MANY_TEXTS"),
    ("100,001 texts", (search,), [*MANY, GOOD[0]], {}, "TOO_MANY_TEXTS"),
    ("an id of 258 bytes", (*UNARY, search), LONG_ID, {}, "ARGUMENT_INVALID"),
    ("an unknown model", ALL, GOOD, {"model": "unknown"}, "MODEL_UNKNOWN"),
    ("a model of another task", (sentiment, analyze), GOOD, {"model": "tiny-ner"}, "MODEL_WRONG_TASK"),
    ("a model of another task", (entities, syntax, embed), GOOD, {"model": "tiny-sentiment"}, "MODEL_WRONG_TASK"),
    ("a model of another task", (pairs, search), GOOD, {"model": "tiny-sentiment"}, "MODEL_WRONG_TASK"),
    ("an unknown policy", ALL, GOOD, {"long_text_policy": UNKNOWN}, "ARGUMENT_INVALID"),
    ("an unknown priority", ALL, GOOD, {"priority": UNKNOWN}, "ARGUMENT_INVALID"),
    ("no encoding", (entities, syntax), GOOD, {"offset_encoding": 0}, "ENCODING_MISSING"),
    ("no encoding", (sentiment,), GOOD, {"include_sentences": True}, "ENCODING_MISSING"),
    ("an unknown encoding", (entities, syntax), GOOD, {"offset_encoding": UNKNOWN}, "ARGUMENT_INVALID"),
    ("an unknown label", (entities,), GOOD, {"labels": ["PERS"]}, "ARGUMENT_INVALID"),
    ("a layer that the model lacks", (syntax,), GOOD, {"layers": [syntax_pb2.SYNTAX_LAYER_LEMMA]}, "ARGUMENT_INVALID"),
    ("an unknown layer", (syntax,), GOOD, {"layers": [UNKNOWN]}, "ARGUMENT_INVALID"),
    ("a model without prompts", (embed, embed_stream), GOOD, {"prompt_name": "query"}, "ARGUMENT_INVALID"),
    ("an unknown prompt", (pairs, search), GOOD, {"prompt_name": "title"}, "ARGUMENT_INVALID"),
    ("a threshold below -1", (search,), GOOD, {"threshold": -1.5}, "ARGUMENT_INVALID"),
    ("a threshold that is not a number", (search,), GOOD, {"threshold": float("nan")}, "ARGUMENT_INVALID"),
    ("best_count of zero", (search,), GOOD, {"best_count": 0}, "ARGUMENT_INVALID"),
    ("best_count below zero", (search,), GOOD, {"best_count": -3}, "ARGUMENT_INVALID"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make_call", "texts", "fields", "expected"),
    [
        pytest.param(make_call, texts, fields, expected, id=f"{name}, {make_call.__name__}")
        for name, methods, texts, fields, expected in CASES
        for make_call in methods
    ],
)
def test_a_bad_request_has_the_same_reason_in_every_service(
    channel: grpc.Channel,
    make_call: MakeCall,
    texts: list[text_pb2.Text],
    fields: dict[str, Any],
    expected: str,
) -> None:
    call, request = make_call(channel, texts, **fields)
    assert reason(refused_status(call, request)) == ("INVALID_ARGUMENT", expected)


@pytest.mark.parametrize("make_call", UNARY)
def test_a_message_over_the_limit_is_refused_by_grpc(channel: grpc.Channel, make_call: MakeCall) -> None:
    call, request = make_call(channel, [text_pb2.Text(content="x" * (17 * 2**20))])
    with pytest.raises(grpc.RpcError) as caught:
        all_of(call(request, timeout=60))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("method", ["EmbedStream", "FindParaphrases"])
def test_a_stream_ends_at_once_when_its_client_disconnects(worker: ServeProcess, method: str) -> None:
    """While responses are sent, and while requests are sent."""
    texts = [text_pb2.Text(content=f"Text {number} und noch mehr davon") for number in range(5_000)]
    before = ended_calls(worker, method)
    with worker.channel() as channel:
        if method == "EmbedStream":
            call, request = embed_stream(channel, texts)
        else:
            call, parts = search(channel, texts)
            request = chain(parts, endless_empty_chunks())
        answers = call(request, timeout=60)
        next(answers)  # the header; then the channel closes under it
    worker.wait_for("end of the call", lambda: ended_calls(worker, method) > before)
    line = [line for line in worker.events("call.ended") if line["method"].endswith(method)][-1]
    assert line["status"] == "CANCELLED"
    assert worker.health() == "SERVING"


def endless_empty_chunks() -> Iterator[Any]:
    """Chunks without texts: a request stream that never ends."""
    return repeat(paraphrase_pb2.FindParaphrasesRequest(texts=paraphrase_pb2.TextChunk()))


def ended_calls(worker: ServeProcess, method: str) -> int:
    return sum(line["method"].endswith(method) for line in worker.events("call.ended"))
