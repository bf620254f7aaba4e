"""Sentiment per sentence, by gRPC, by the Python clients and by the command line."""

import json
import subprocess
import sys
from typing import Final

import grpc
import pytest

from qda.v1 import sentiment_pb2, sentiment_pb2_grpc, text_pb2
from qda_worker.client import AsyncClient, Client, Offsets, Settings
from tests.service.worker.calls import TIMEOUT, reason, refused_status, texts
from tests.service.worker.documents import analyze_documents, settings
from tests.service.worker.process import ServeProcess

TEXT: Final = "😀 Das war schön!\nu\u0308ber Köln z. B. nicht. 👩‍👩‍👧 Sehr schlecht…"
# An emoji belongs to the sentence before it, at the beginning of a line to the one after.
SENTENCES: Final = ["😀 Das war schön!", "u\u0308ber Köln z. B. nicht. 👩‍👩‍👧", "Sehr schlecht…"]
TOLERANCE: Final = 1e-5
POINTS: Final = text_pb2.OFFSET_ENCODING_CODE_POINTS


def analyze(
    channel: grpc.Channel, *contents: str, encoding: text_pb2.OffsetEncoding.ValueType = POINTS
) -> sentiment_pb2.AnalyzeSentimentResponse:
    request = sentiment_pb2.AnalyzeSentimentRequest(
        texts=texts(*contents), include_sentences=True, offset_encoding=encoding
    )
    stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
    return stub.AnalyzeSentiment(request, timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("encoding", "codec", "width"),
    [
        (text_pb2.OFFSET_ENCODING_UTF8_BYTES, "utf-8", 1),
        (text_pb2.OFFSET_ENCODING_UTF16_UNITS, "utf-16-le", 2),
        (text_pb2.OFFSET_ENCODING_CODE_POINTS, "utf-32-le", 4),
    ],
)
def test_spans_match_the_sentences_in_each_encoding(
    channel: grpc.Channel, encoding: text_pb2.OffsetEncoding.ValueType, codec: str, width: int
) -> None:
    response = analyze(channel, TEXT, encoding=encoding)
    assert response.offset_encoding == encoding
    encoded = TEXT.encode(codec)
    cut = [
        encoded[each.span.start * width : each.span.end * width].decode(codec)
        for each in response.results[0].sentences
    ]
    assert cut == SENTENCES


def test_a_sentence_has_the_same_answer_as_a_text_of_its_own(channel: grpc.Channel) -> None:
    found = analyze(channel, TEXT).results[0].sentences
    alone = analyze(channel, *SENTENCES).results
    for sentence, text in zip(found, alone, strict=True):
        for label in ("positive", "negative", "neutral"):
            expected = getattr(text.probabilities, label)
            assert getattr(sentence.probabilities, label) == pytest.approx(expected, abs=TOLERANCE)
        assert sentence.label == text.label
        assert sentence.usage == text.usage


def test_an_empty_text_has_a_status_and_no_sentences(channel: grpc.Channel) -> None:
    results = analyze(channel, "", "Gut. Schlecht.", " ").results
    assert reason(results[0].status) == ("INVALID_ARGUMENT", "TEXT_EMPTY")
    assert [len(result.sentences) for result in results] == [0, 2, 0]


def test_too_many_sentences_are_refused(channel: grpc.Channel) -> None:
    request = sentiment_pb2.AnalyzeSentimentRequest(
        texts=texts("Ja. " * 60_000, "Nein! " * 60_000),
        include_sentences=True,
        offset_encoding=text_pb2.OFFSET_ENCODING_UTF8_BYTES,
    )
    status = refused_status(sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment, request)
    assert reason(status) == ("INVALID_ARGUMENT", "TOO_MANY_TEXTS")
    assert "120000 sentences" in status.message


def test_a_stream_of_documents_returns_the_same_sentences(channel: grpc.Channel) -> None:
    request_settings = settings(sentiment=True)
    request_settings.offset_encoding = POINTS
    request_settings.sentiment.include_sentences = True
    _, (document,) = analyze_documents(channel, request_settings, texts(TEXT))
    expected = analyze(channel, TEXT).results[0].sentences
    assert [each.span for each in document.sentiment.sentences] == [each.span for each in expected]
    scores = [each.probabilities.positive for each in document.sentiment.sentences]
    assert scores == pytest.approx([each.probabilities.positive for each in expected], abs=TOLERANCE)


async def test_both_clients_return_sentences(worker: ServeProcess) -> None:
    with Client(Settings(worker.address)) as client:
        [found] = client.sentiment([TEXT], sentences=True)
        assert [TEXT[each.start : each.end] for each in found.sentences] == SENTENCES
        [bytewise] = client.sentiment([TEXT], sentences=True, offsets=Offsets.UTF8_BYTES)
    assert [TEXT.encode()[each.start : each.end].decode() for each in bytewise.sentences] == SENTENCES
    async with AsyncClient(Settings(worker.address)) as client:
        [again] = await client.sentiment([TEXT], sentences=True)
    assert again == found
    assert found.sentences[0].usage is not None


def test_the_command_line_shows_each_sentence(worker: ServeProcess) -> None:
    def run(*options: str) -> str:
        command = [sys.executable, "-m", "qda_worker.client.cli.main", "sentiment", "--whole", "--sentences"]
        done = subprocess.run(
            [*command, "--target", worker.address, *options],
            input=TEXT.encode(),
            capture_output=True,
            check=True,
            timeout=TIMEOUT,
        )
        return done.stdout.decode()

    shown = [sentence.replace("\u200d", " ") for sentence in SENTENCES]  # tables show no invisible characters
    for encoding in Offsets:
        rows = run("--encoding", encoding).splitlines()[2:5]
        assert [row.rsplit("  ", 1)[1] for row in rows] == shown
    [line] = run("--format", "jsonl").splitlines()
    assert len(json.loads(line)["sentences"]) == 3
