"""AnalyzeSyntax and prompts through a worker: what the model has, in order, in every call that has them."""

from typing import Any, Final

import grpc
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from qda.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    syntax_pb2,
    syntax_pb2_grpc,
    text_pb2,
)
from qda_worker.services import SYNTAX
from tests.service.worker.calls import TIMEOUT, error_info, refused_status, texts
from tests.service.worker.documents import CODE_POINTS, analyze_documents, settings
from tests.service.worker.fixtures import CacheFixture

LAYERS: Final = [syntax_pb2.SYNTAX_LAYER_ENTITIES]
TEXTS: Final = ("Frau  Merkel fuhr nach Köln.", "", " \n\t", "ja 😀!")


def analyze(channel: grpc.Channel, *contents: str, **fields: Any) -> syntax_pb2.AnalyzeSyntaxResponse:
    request = syntax_pb2.AnalyzeSyntaxRequest(
        texts=texts(*contents), **{"offset_encoding": CODE_POINTS, **fields}
    )
    return syntax_pb2_grpc.SyntaxServiceStub(channel).AnalyzeSyntax(request, timeout=TIMEOUT)


def test_a_pipeline_returns_the_layers_that_it_has(channel: grpc.Channel) -> None:
    response = analyze(channel, *TEXTS)
    assert list(response.layers) == LAYERS
    assert list(response.provenance.components) == ["entity_ruler"]
    first, empty, blank, short = response.results
    assert [(token.text, token.space_after, token.entity_label) for token in first.tokens] == [
        ("Frau", True, ""), (" ", False, ""), ("Merkel", True, "PER"), ("fuhr", True, ""), ("nach", True, ""),
        ("Köln", False, "LOC"), (".", False, ""),
    ]  # fmt: skip
    assert not first.sentences
    assert not any(token.HasField("head_index") for token in first.tokens)
    assert error_info(empty.status).reason == "TEXT_EMPTY"
    assert "".join(token.text + " " * token.space_after for token in blank.tokens) == " \n\t"
    assert [result.id for result in response.results] == ["t0", "t1", "t2", "t3"]
    assert [token.text for token in short.tokens] == ["ja", "😀", "!"]
    assert short.usage.token_count == 3


def test_a_missing_component_is_named(channel: grpc.Channel) -> None:
    """The pipeline has no parser."""
    request = syntax_pb2.AnalyzeSyntaxRequest(
        texts=texts("Köln"), offset_encoding=CODE_POINTS, layers=[syntax_pb2.SYNTAX_LAYER_SENTENCES]
    )
    status = refused_status(syntax_pb2_grpc.SyntaxServiceStub(channel).AnalyzeSyntax, request)
    assert "no component for SYNTAX_LAYER_SENTENCES; its components: entity_ruler" in status.message


def test_a_lone_surrogate_on_the_wire_is_refused_with_its_place(channel: grpc.Channel) -> None:
    request = syntax_pb2.AnalyzeSyntaxRequest(texts=texts("Köln", "XXX"), offset_encoding=CODE_POINTS)
    content = request.SerializeToString().replace(b"XXX", b"\xed\xa0\xbd")
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SYNTAX}/AnalyzeSyntax")
    status = refused_status(call, content)
    assert error_info(status).reason == "TEXT_NOT_UTF8"
    assert "texts[1].content" in status.message


def test_two_million_characters_are_read_in_windows(channel: grpc.Channel) -> None:
    text = "Merkel fuhr nach Köln, dann kam 😀. " * 57_000
    response = analyze(channel, text, long_text_policy=text_pb2.LONG_TEXT_POLICY_WINDOW, layers=LAYERS)
    (result,) = response.results
    assert not result.HasField("status")
    assert result.usage.outcome == text_pb2.LONG_TEXT_OUTCOME_WINDOWED
    assert len(result.tokens) == result.usage.token_count == 57_000 * 9
    assert sum(token.entity_begins for token in result.tokens) == 57_000 * 2
    last = result.tokens[-1]
    assert text[last.span.start : last.span.end] == last.text == "."
    cut = analyze(channel, text).results[0]
    assert cut.usage.outcome == text_pb2.LONG_TEXT_OUTCOME_CUT
    assert cut.usage.token_count == result.usage.token_count > len(cut.tokens)


def test_a_stream_of_documents_returns_the_same_tokens(channel: grpc.Channel) -> None:
    request_settings = settings(entities=True)
    request_settings.syntax.layers.extend(LAYERS)
    contents = [content for content in TEXTS if content]
    header, results = analyze_documents(channel, request_settings, texts(*contents))
    unary = analyze(channel, *contents)
    assert header.syntax_provenance == unary.provenance
    assert header.syntax_layers == unary.layers == LAYERS
    assert [result.syntax for result in results] == list(unary.results)
    only_syntax = settings()
    only_syntax.syntax.SetInParent()
    with pytest.raises(grpc.RpcError, match="offset_encoding is not set"):
        analyze_documents(channel, only_syntax, [])


def test_models_tell_their_layers_and_prompts(channel: grpc.Channel) -> None:
    listed = model_pb2_grpc.ModelServiceStub(channel).ListModels(
        model_pb2.ListModelsRequest(), timeout=TIMEOUT
    )
    models = {model.key: model for model in listed.models}
    assert list(models["tiny-ner"].syntax_layers) == LAYERS
    assert list(models["tiny-ner"].components) == ["entity_ruler"]
    assert dict(models["tiny-paraphrase"].prompts) == {"query": "das Haus: ", "passage": "die Stadt: "}
    assert not models["tiny-embedding"].prompts


def test_a_prompt_is_applied_in_every_call(channel: grpc.Channel, cache_fixture: CacheFixture) -> None:
    plain = SentenceTransformer(str(cache_fixture.path("tiny-paraphrase")), device="cpu")
    contents = ("sehr gut", "die Stadt Köln")
    expected = plain.encode(list(contents), prompt="das Haus: ")
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    fields: dict[str, Any] = {"model": "tiny-paraphrase", "prompt_name": "query", "texts": texts(*contents)}
    response = stub.Embed(embedding_pb2.EmbedRequest(**fields), timeout=TIMEOUT)
    dense = [np.frombuffer(result.dense.data, "<f4") for result in response.results]
    np.testing.assert_allclose(dense, expected, atol=1e-5)
    assert (response.provenance.prompt_name, response.provenance.prompt) == ("query", "das Haus: ")
    parts = list(stub.EmbedStream(embedding_pb2.EmbedStreamRequest(**fields), timeout=TIMEOUT))
    assert parts[0].header.provenance == response.provenance
    assert np.frombuffer(parts[1].rows.rows.data, "<f4") == pytest.approx(dense[0], abs=1e-5)
    request_settings = settings()
    request_settings.embeddings.add(model="tiny-paraphrase", prompt_name="passage")
    header, results = analyze_documents(channel, request_settings, texts(*contents))
    assert header.embedding_provenances[0].prompt == "die Stadt: "
    passages = [np.frombuffer(result.embeddings[0].dense.data, "<f4") for result in results]
    np.testing.assert_allclose(passages, plain.encode(list(contents), prompt="die Stadt: "), atol=1e-5)
    first, second = (text_pb2.Text(content=content) for content in contents)
    pair = paraphrase_pb2.TextPair(first=first, second=second)
    scored = paraphrase_pb2_grpc.ParaphraseServiceStub(channel).ScorePairs(
        paraphrase_pb2.ScorePairsRequest(pairs=[pair], prompt_name="query"), timeout=TIMEOUT
    )
    left, right = (vector / np.linalg.norm(vector) for vector in expected)
    assert scored.results[0].score == pytest.approx(float(left @ right), abs=1e-5)
    assert scored.provenance.prompt_name == "query"
