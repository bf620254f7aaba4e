"""Every answer equals that of the plain library with the same files."""

from typing import Final

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
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.fixtures import CacheFixture

STATEMENTS: Final = (
    "Das war sehr gut, und die Stadt ist schön!",
    "nicht schlecht",
    "Wir haben 42 Häuser in Köln gesehen.",
    "😀🎉",
    "NUL\x00 mitten im Wort",
    "das ist gut " * 40,  # longer than any of the tiny models reads
)
NAMES: Final = "😀 Frau Müller (Siemens) fuhr von Köln nach Berlin; dort wartete Merkel."
TOLERANCE: Final = 1e-5  # float32: a batch's padding changes the last bits


def plain_vectors(cache_fixture: CacheFixture, key: str) -> NDArray[np.float32]:
    model = SentenceTransformer(
        str(cache_fixture.path(key)), device="cpu", model_kwargs={"weights_only": True}
    )
    vectors: NDArray[np.float32] = model.encode(list(STATEMENTS), batch_size=1)
    return vectors


def embed(channel: grpc.Channel, model: str, **options: object) -> embedding_pb2.EmbedResponse:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    embedding_options = embedding_pb2.EmbeddingOptions(**options)  # type: ignore[arg-type]  # each test knows its fields
    request = embedding_pb2.EmbedRequest(texts=texts(*STATEMENTS), model=model, options=embedding_options)
    return stub.Embed(request, timeout=TIMEOUT)


def as_arrays(response: embedding_pb2.EmbedResponse, kind: str = "<f4") -> NDArray[np.float32]:
    assert all(list(result.dense.shape) == [32] for result in response.results)
    return np.stack([np.frombuffer(result.dense.data, kind) for result in response.results]).astype(
        np.float32
    )


def test_sentiment_equals_transformers_on_the_cleaned_text(
    cache_fixture: CacheFixture, channel: grpc.Channel
) -> None:
    stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
    response = stub.AnalyzeSentiment(
        sentiment_pb2.AnalyzeSentimentRequest(texts=texts(*STATEMENTS)), timeout=TIMEOUT
    )
    folder = cache_fixture.path("tiny-sentiment")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    for statement, result in zip(STATEMENTS, response.results, strict=True):
        batch = tokenizer(
            clean_german_sentiment(statement), truncation=True, max_length=64, return_tensors="pt"
        )
        with torch.no_grad():
            expected = torch.softmax(network(**batch).logits, dim=-1)[0].tolist()
        got = result.probabilities
        assert [got.positive, got.negative, got.neutral] == pytest.approx(expected, abs=TOLERANCE)
        label = ("POSITIVE", "NEGATIVE", "NEUTRAL")[int(np.argmax(expected))]
        assert sentiment_pb2.SentimentLabel.Name(result.label) == f"SENTIMENT_LABEL_{label}"
    assert [result.id for result in response.results] == [f"t{n}" for n in range(len(STATEMENTS))]


def test_a_cut_text_is_reported_as_cut(channel: grpc.Channel) -> None:
    stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
    request = sentiment_pb2.AnalyzeSentimentRequest(texts=texts("das ist gut " * 40, "das"))
    long, short = [result.usage for result in stub.AnalyzeSentiment(request, timeout=TIMEOUT).results]
    assert (long.outcome, long.used_token_count, long.limit_count) == (text_pb2.LONG_TEXT_OUTCOME_CUT, 64, 64)
    assert long.token_count == 122  # 40 times three words, and two special tokens
    assert long.character_count == 480
    assert short.outcome == text_pb2.LONG_TEXT_OUTCOME_WHOLE


@pytest.mark.parametrize(
    ("encoding", "codec", "width"),
    [
        (text_pb2.OFFSET_ENCODING_UTF8_BYTES, "utf-8", 1),
        (text_pb2.OFFSET_ENCODING_UTF16_UNITS, "utf-16-le", 2),
        (text_pb2.OFFSET_ENCODING_CODE_POINTS, "utf-32-le", 4),
    ],
)
def test_entities_equal_spacy_and_spans_are_right_in_each_encoding(
    cache_fixture: CacheFixture,
    channel: grpc.Channel,
    encoding: text_pb2.OffsetEncoding.ValueType,
    codec: str,
    width: int,
) -> None:
    stub = entity_pb2_grpc.EntityServiceStub(channel)
    request = entity_pb2.RecognizeEntitiesRequest(texts=texts(NAMES), offset_encoding=encoding)
    response = stub.RecognizeEntities(request, timeout=TIMEOUT)
    found = response.results[0].entities
    doc = spacy.load(cache_fixture.path("tiny-ner"))(NAMES)
    assert [(entity.text, entity.label) for entity in found] == [(ent.text, ent.label_) for ent in doc.ents]
    assert len(found) == 5
    encoded = NAMES.encode(codec)
    for entity in found:
        assert encoded[entity.span.start * width : entity.span.end * width].decode(codec) == entity.text
    assert response.offset_encoding == encoding


def test_entities_can_have_common_labels_and_be_filtered(channel: grpc.Channel) -> None:
    stub = entity_pb2_grpc.EntityServiceStub(channel)
    request = entity_pb2.RecognizeEntitiesRequest(
        texts=texts(NAMES),
        offset_encoding=text_pb2.OFFSET_ENCODING_CODE_POINTS,
        label_scheme=entity_pb2.LABEL_SCHEME_COMMON,
        labels=["PERSON", "ORGANIZATION"],
    )
    found = stub.RecognizeEntities(request, timeout=TIMEOUT).results[0].entities
    assert [(entity.text, entity.label, entity.model_label) for entity in found] == [
        ("Müller", "PERSON", "PER"),
        ("Siemens", "ORGANIZATION", "ORG"),
        ("Merkel", "PERSON", "PER"),
    ]


@pytest.mark.parametrize("key", ["tiny-embedding", "tiny-paraphrase"])
def test_embeddings_equal_sentence_transformers(
    cache_fixture: CacheFixture, channel: grpc.Channel, key: str
) -> None:
    response = embed(channel, key)
    np.testing.assert_allclose(as_arrays(response), plain_vectors(cache_fixture, key), atol=TOLERANCE)
    assert response.provenance.model == key


def test_float16_and_lists_hold_the_same_vectors(channel: grpc.Channel) -> None:
    full = as_arrays(embed(channel, "tiny-paraphrase"))
    half = embed(channel, "tiny-paraphrase", element_type=embedding_pb2.ELEMENT_TYPE_FLOAT16)
    np.testing.assert_allclose(as_arrays(half, "<f2"), full, rtol=1e-3, atol=1e-4)
    listed = embed(channel, "tiny-paraphrase", element_type=embedding_pb2.ELEMENT_TYPE_FLOAT_LIST)
    np.testing.assert_allclose([result.dense.values for result in listed.results], full, atol=TOLERANCE)
    assert not listed.results[0].dense.data


def test_normalised_vectors_have_length_one(channel: grpc.Channel) -> None:
    raw = as_arrays(embed(channel, "tiny-paraphrase"))
    unit = as_arrays(embed(channel, "tiny-paraphrase", normalize=True))
    assert not np.allclose(np.linalg.norm(raw, axis=1), 1.0, atol=0.01)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=TOLERANCE)


def test_streamed_vectors_are_the_same_in_the_same_order(channel: grpc.Channel) -> None:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    request = embedding_pb2.EmbedStreamRequest(texts=texts(*STATEMENTS, ""))
    parts = list(stub.EmbedStream(request, timeout=TIMEOUT))
    kinds = [part.WhichOneof("part") for part in parts]
    assert kinds == ["header", *["rows", "item"] * len(STATEMENTS), "item", "trailer"]
    rows = [np.frombuffer(part.rows.rows.data, "<f4") for part in parts if part.HasField("rows")]
    np.testing.assert_allclose(np.stack(rows), as_arrays(embed(channel, "")), atol=TOLERANCE)
    assert parts[-2].item.id == f"t{len(STATEMENTS)}"
    assert "TEXT_EMPTY" in parts[-2].item.status.message


def test_pair_scores_are_cosines_of_plain_vectors(cache_fixture: CacheFixture, channel: grpc.Channel) -> None:
    vectors = plain_vectors(cache_fixture, "tiny-paraphrase")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    statements = texts(*STATEMENTS)
    pairs = [
        paraphrase_pb2.TextPair(first=statements[a], second=statements[b], id=f"{a}-{b}")
        for a, b in [(0, 1), (1, 0), (2, 2), (3, 5)]
    ]
    stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
    response = stub.ScorePairs(paraphrase_pb2.ScorePairsRequest(pairs=pairs), timeout=TIMEOUT)
    expected = [float(unit[a] @ unit[b]) for a, b in [(0, 1), (1, 0), (2, 2), (3, 5)]]
    assert [result.score for result in response.results] == pytest.approx(expected, abs=TOLERANCE)
    assert response.results[0].score == response.results[1].score
    assert response.results[3].second_usage.outcome == text_pb2.LONG_TEXT_OUTCOME_CUT


def test_a_text_has_the_same_answer_alone_and_among_others(channel: grpc.Channel) -> None:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    together = as_arrays(embed(channel, "tiny-embedding"))
    for number, statement in enumerate(STATEMENTS):
        request = embedding_pb2.EmbedRequest(texts=texts(statement), model="tiny-embedding")
        np.testing.assert_allclose(
            as_arrays(stub.Embed(request, timeout=TIMEOUT))[0], together[number], atol=TOLERANCE
        )


def test_every_response_has_provenance_and_timings(
    cache_fixture: CacheFixture, channel: grpc.Channel
) -> None:
    response = embed(channel, "")
    provenance = response.provenance
    assert (provenance.model, provenance.source, provenance.precision) == (
        "tiny-embedding",
        "qda-test/embedding",
        "fp32",
    )
    assert provenance.revision == "3" * 40
    assert len(provenance.model_digest) == len(provenance.generation) == 64
    total = response.timings.total_duration.ToMicroseconds()
    assert 0 < response.timings.compute_duration.ToMicroseconds() <= total
