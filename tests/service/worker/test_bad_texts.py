"""Unusual texts are answered as the plain libraries answer them, by each service, alone and among others."""

from collections.abc import Iterator
from typing import Any, Final

import grpc
import numpy as np
import pytest
import spacy
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

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
from qda_worker.models.sentiment import clean_german_sentiment
from tests.service.worker.calls import TIMEOUT, reason
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess

BAD: Final = {
    "blanks": " \t\u00a0 ",
    "emoji": "😀🎉👩‍👩‍👧",
    "nul": "\x00 Köln\x00 und Berlin \x00",
    "decomposed": "Mu\u0308ller in Ko\u0308ln, Müller in Berlin",
    "right to left": "שלום Berlin עולם, مرحبا Köln",
    "html": "<p class='x'>Frau&nbsp;Müller <b>war</b> in Köln.<br/></p><script>alert(1)</script>",
    "control characters": "\x01\x02\x1b[31mKöln\x7f\x85\u200b\u2028 Berlin\r",
    "byte order mark": "\ufeffKöln \ufffe\uffff",
    "1,000 newlines": "\n" * 1000 + "Köln" + "\n" * 1000,
    "a word of 50,000 characters": f"Köln {'x' * 50_000} Berlin",
    "a row of brackets": f"Köln {'(' * 3000} Berlin",
    "special tokens": "[CLS] [SEP] <s> </s> [PAD] Köln <unk>",
    "the same again": "\x00 Köln\x00 und Berlin \x00",
}
TEXTS: Final = [
    text_pb2.Text(content=content, id="alike") for content in BAD.values()
]  # ids need not be unique
TOLERANCE: Final = 1e-5


def alone(stub: Any, make: Any) -> Iterator[Any]:
    """Yield each text's result from a request of its own."""
    for text in TEXTS:
        yield stub(make([text]), timeout=TIMEOUT).results[0]


def test_sentiment_is_that_of_transformers(cache_fixture: CacheFixture, channel: grpc.Channel) -> None:
    stub = sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment

    def make(texts: list[text_pb2.Text]) -> sentiment_pb2.AnalyzeSentimentRequest:
        return sentiment_pb2.AnalyzeSentimentRequest(texts=texts)

    results = stub(make(TEXTS), timeout=TIMEOUT).results
    folder = cache_fixture.path("tiny-sentiment")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    for result, own, content in zip(results, alone(stub, make), BAD.values(), strict=True):
        batch = tokenizer(
            clean_german_sentiment(content), truncation=True, max_length=64, return_tensors="pt"
        )
        with torch.no_grad():
            expected = torch.softmax(network(**batch).logits, dim=-1)[0].tolist()
        for each in (result.probabilities, own.probabilities):
            assert [each.positive, each.negative, each.neutral] == pytest.approx(expected, abs=TOLERANCE)
        assert result.usage.character_count == len(content)
        assert result.id == "alike"


def test_entities_are_those_of_spacy(cache_fixture: CacheFixture, channel: grpc.Channel) -> None:
    stub = entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities

    def make(texts: list[text_pb2.Text]) -> entity_pb2.RecognizeEntitiesRequest:
        encoding = text_pb2.OFFSET_ENCODING_UTF16_UNITS
        return entity_pb2.RecognizeEntitiesRequest(texts=texts, offset_encoding=encoding)

    results = stub(make(TEXTS), timeout=TIMEOUT).results
    plain = spacy.load(cache_fixture.path("tiny-ner"))
    for result, own, content in zip(results, alone(stub, make), BAD.values(), strict=True):
        expected = [(entity.text, entity.label_) for entity in plain(content).ents]
        assert [(entity.text, entity.label) for entity in result.entities] == expected
        assert own.entities == result.entities
        units = content.encode("utf-16-le", "surrogatepass")
        for entity in result.entities:
            cut = units[2 * entity.span.start : 2 * entity.span.end]
            assert cut.decode("utf-16-le", "surrogatepass") == entity.text


def plain_vectors(cache_fixture: CacheFixture, key: str) -> NDArray[np.float32]:
    model = SentenceTransformer(
        str(cache_fixture.path(key)), device="cpu", model_kwargs={"weights_only": True}
    )
    vectors: NDArray[np.float32] = model.encode(list(BAD.values()), batch_size=1)
    return vectors


def test_vectors_are_those_of_sentence_transformers(
    cache_fixture: CacheFixture, channel: grpc.Channel
) -> None:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed

    def make(texts: list[text_pb2.Text]) -> embedding_pb2.EmbedRequest:
        return embedding_pb2.EmbedRequest(texts=texts)

    expected = plain_vectors(cache_fixture, "tiny-embedding")
    for results in (stub(make(TEXTS), timeout=TIMEOUT).results, list(alone(stub, make))):
        rows = np.stack([np.frombuffer(result.dense.data, "<f4") for result in results])
        np.testing.assert_allclose(rows, expected, atol=TOLERANCE)


def test_scores_are_cosines_of_plain_vectors(cache_fixture: CacheFixture, channel: grpc.Channel) -> None:
    stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
    pairs = [paraphrase_pb2.TextPair(first=text, second=TEXTS[-1]) for text in TEXTS]
    results = stub.ScorePairs(paraphrase_pb2.ScorePairsRequest(pairs=pairs), timeout=TIMEOUT).results
    vectors = plain_vectors(cache_fixture, "tiny-paraphrase")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert [result.score for result in results] == pytest.approx((unit @ unit[-1]).tolist(), abs=TOLERANCE)


def test_a_text_of_ten_megabytes_is_answered_among_others(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    long = "Das ist gut und Köln ist schön. " * 312_500
    texts = [text_pb2.Text(content=content) for content in (long, "Köln", "")]
    sentiment = sentiment_pb2.AnalyzeSentimentRequest(texts=texts)
    first, second, third = (
        sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment(sentiment, timeout=TIMEOUT).results
    )
    assert first.usage.outcome == text_pb2.LONG_TEXT_OUTCOME_CUT
    assert (first.usage.used_token_count, first.usage.character_count) == (64, 10_000_000)
    assert second.usage.outcome == text_pb2.LONG_TEXT_OUTCOME_WHOLE
    assert reason(third.status) == ("INVALID_ARGUMENT", "TEXT_EMPTY")
    entities = entity_pb2.RecognizeEntitiesRequest(
        texts=texts,
        offset_encoding=text_pb2.OFFSET_ENCODING_UTF8_BYTES,
        long_text_policy=text_pb2.LONG_TEXT_POLICY_ERROR,
    )
    first_found, found, _ = (
        entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities(entities, timeout=TIMEOUT).results
    )
    assert reason(first_found.status) == ("INVALID_ARGUMENT", "TEXT_TOO_LONG")
    assert [(entity.text, entity.span.end) for entity in found.entities] == [("Köln", 5)]
    assert worker.health() == "SERVING"
