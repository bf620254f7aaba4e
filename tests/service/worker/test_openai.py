"""The embeddings API, called by the openai package as it is, and by HTTP where that package would not go."""

import asyncio
import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from openai import AsyncOpenAI, OpenAI

from qda.v1 import embedding_pb2, embedding_pb2_grpc, text_pb2
from tests.service.worker.process import ServeProcess

MODEL: Final = "tiny-embedding"
TEXTS: Final = ["Der Bus kam heute wieder zu spät.", "Ich wohne gern hier 😀.", "Ja"]


@pytest.fixture
def client(http_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{http_url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def embed(channel: grpc.Channel, **fields: Any) -> tuple[NDArray[np.float32], int]:
    """Return the vectors of `TEXTS`, and how many tokens were read, by gRPC."""
    texts = [text_pb2.Text(content=text) for text in TEXTS]
    request = embedding_pb2.EmbedRequest(texts=texts, **{"model": MODEL, **fields})
    results = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed(request).results
    vectors = [np.frombuffer(result.dense.data, "<f4") for result in results]
    return np.stack(vectors), sum(result.usage.used_token_count for result in results)


def vectors_of(response: openai.types.CreateEmbeddingResponse) -> NDArray[np.float32]:
    assert [item.index for item in response.data] == list(range(len(response.data)))
    return np.array([item.embedding for item in response.data], np.float32)


def post(url: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of a POST to the embeddings API."""
    sent = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/embeddings", body, sent)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_vectors_and_token_counts_are_those_of_grpc_to_the_last_bit(
    client: OpenAI, channel: grpc.Channel
) -> None:
    expected, tokens = embed(channel)
    by_default = client.embeddings.create(model=MODEL, input=TEXTS)  # base64
    as_list = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    for response in (by_default, as_list):
        np.testing.assert_array_equal(vectors_of(response), expected)
        assert (response.usage.prompt_tokens, response.usage.total_tokens) == (tokens, tokens)
        assert response.model == MODEL


async def test_the_async_client_gets_the_same_for_single_texts(http_url: str, channel: grpc.Channel) -> None:
    expected, _ = embed(channel)
    async with AsyncOpenAI(base_url=f"{http_url}/v1", api_key="none") as client:
        responses = await asyncio.gather(
            *(client.embeddings.create(model="qda-test/embedding", input=text) for text in TEXTS)
        )
    found = np.concatenate([vectors_of(response) for response in responses])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_dimensions_shorten_vectors_of_models_that_allow_it(client: OpenAI, channel: grpc.Channel) -> None:
    options = embedding_pb2.EmbeddingOptions(dimension_count=8)
    expected, _ = embed(channel, model="tiny-paraphrase", options=options)
    response = client.embeddings.create(model="paraphrase", input=TEXTS, dimensions=8)
    np.testing.assert_array_equal(vectors_of(response), expected)
    with pytest.raises(openai.BadRequestError, match="dimensions is 8") as refused:
        client.embeddings.create(model=MODEL, input=TEXTS, dimensions=8)
    assert refused.value.param == "dimensions"


def test_a_prompt_is_named_behind_the_model_or_in_its_field(client: OpenAI, channel: grpc.Channel) -> None:
    expected, tokens = embed(channel, model="tiny-paraphrase", prompt_name="query")
    plain, _ = embed(channel, model="tiny-paraphrase")
    assert not np.array_equal(expected, plain)
    behind = client.embeddings.create(model="tiny-paraphrase:query", input=TEXTS)
    as_field = client.embeddings.create(
        model="tiny-paraphrase", input=TEXTS, extra_body={"prompt_name": "query"}
    )
    for response in (behind, as_field):
        np.testing.assert_array_equal(vectors_of(response), expected)
        assert response.usage.prompt_tokens == tokens
    described = client.models.retrieve("tiny-paraphrase").model_extra
    assert described is not None
    assert described["prompts"] == ["passage", "query"]
    with pytest.raises(openai.BadRequestError, match="no prompt") as refused:
        client.embeddings.create(model="tiny-paraphrase:summary", input=TEXTS)
    assert refused.value.param == "prompt_name"


def test_a_text_that_was_cut_is_told_in_headers(client: OpenAI) -> None:
    texts = ["kurz", "lang " * 3000, "Ende", "weiter " * 3000]
    response = client.embeddings.with_raw_response.create(model=MODEL, input=texts)
    assert response.headers["x-qda-truncated-count"] == "2"
    assert response.headers["x-qda-truncated"] == "1,3"
    whole = client.embeddings.with_raw_response.create(
        model=MODEL, input=texts, extra_body={"long_text_policy": "window"}
    )
    assert "x-qda-truncated" not in whole.headers
    assert whole.parse().usage.total_tokens > response.parse().usage.total_tokens
    with pytest.raises(openai.BadRequestError, match='set long_text_policy to "cut" or "window"') as refused:
        client.embeddings.create(model=MODEL, input=texts, extra_body={"long_text_policy": "error"})
    assert (refused.value.param, refused.value.code) == ("input[1]", "text_too_long")


def test_models_that_embed_are_listed_and_described(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL, "tiny-paraphrase"]
    by_key = client.models.retrieve(MODEL)
    assert client.models.retrieve("qda-test/embedding") == by_key
    assert by_key.owned_by == "qda-test"


@pytest.mark.parametrize(
    ("call", "error", "param", "code"),
    [
        (lambda c: c.models.retrieve("gpt-5"), openai.NotFoundError, "model", "model_not_found"),
        (
            lambda c: c.embeddings.create(model="gpt-5", input="x"),
            openai.NotFoundError,
            "model",
            "model_not_found",
        ),
        (
            lambda c: c.embeddings.create(model="tiny-ner", input="x"),
            openai.BadRequestError,
            "model",
            "model_wrong_task",
        ),
        (
            lambda c: c.embeddings.create(model=MODEL, input=[[1, 2]]),
            openai.BadRequestError,
            "input",
            "argument_invalid",
        ),
        (
            lambda c: c.embeddings.create(model=MODEL, input=["a", ""]),
            openai.BadRequestError,
            "input[1]",
            "text_empty",
        ),
        (
            lambda c: c.embeddings.create(model=MODEL, input="x", extra_body={"promt": "q"}),
            openai.BadRequestError,
            "promt",
            "argument_invalid",
        ),
        (
            lambda c: c.chat.completions.create(model=MODEL, messages=[]),
            openai.NotFoundError,
            None,
            "method_unknown",
        ),
    ],
)
def test_errors_have_the_types_of_the_client(
    client: OpenAI,
    call: Callable[[OpenAI], object],
    error: type[openai.APIStatusError],
    param: str,
    code: str,
) -> None:
    with pytest.raises(error, match="Remedy: ") as caught:
        call(client)
    assert (caught.value.param, caught.value.code, caught.value.type) == (
        param,
        code,
        "invalid_request_error",
    )


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"model": NaN, "input": "x"}', {}, 400),
        (b'{"model": "tiny-embedding", "input": ' + b"[" * 100_000, {}, 400),
        (b'{"model": "tiny-embedding", "input": "half \\ud83d"}', {}, 400),
        (b'{"model": "tiny-embedding", "input": "not UTF-8: \xff"}', {}, 400),
        (b'{"model": "tiny-embedding", "input": "a", "input": "b"}', {}, 400),
        (b'{"model": "tiny-embedding", "input": "x"}', {"Content_Type": "text/plain"}, 415),
        (b'{"model": "tiny-embedding", "input": "x"}', {"Content_Encoding": "gzip"}, 400),
    ],
)
def test_a_broken_body_gets_an_error_in_the_form_of_the_api(
    http_url: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, answer = post(http_url, body, **headers)
    assert found == status
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"


def test_a_compressed_body_is_read(http_url: str) -> None:
    body = gzip.compress(json.dumps({"model": MODEL, "input": TEXTS}).encode())
    status, answer = post(http_url, body, Content_Encoding="gzip")
    assert (status, len(answer["data"])) == (200, 3)


def test_user_is_the_caller_unless_the_header_names_one(client: OpenAI, worker: ServeProcess) -> None:
    client.embeddings.create(model=MODEL, input="Ein geheimer Satz über den Garten.", user="user-of-the-body")
    client.embeddings.create(
        model=MODEL,
        input="Noch ein geheimer Satz.",
        user="other",
        extra_headers={"X-QDA-Caller": "of-header"},
    )

    def callers() -> set[str]:
        return {str(line.get("caller")) for line in worker.events("call.ended")}

    worker.wait_for("callers", lambda: {"user-of-the-body", "of-header"} <= callers())
    assert "other" not in callers()
    assert "geheimer" not in worker.log
