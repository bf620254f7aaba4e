"""What is refused by the head of a request: before its body is read, with a response that the client can read."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from qda_worker.settings import AccessSettings
from tests.support.echo_worker import EchoServer, echo_server
from tests.support.http_client import SENTIMENT, HttpAnswer, connect, request

DOCUMENTS: Final = "/qda.v1.AnalysisService/AnalyzeDocuments"
EMBED_STREAM: Final = "/qda.v1.EmbeddingService/EmbedStream"
STREAM_JSON: Final = "application/connect+json"
EXPECT: Final = "Expect: 100-continue"
TOKEN: Final = "0123456789abcdef0123456789abcdef"
# No body of this length comes: a server that reads it does not answer before the time limits of the client.
LENGTH: Final = 1000
TOO_LONG: Final = 17 * 2**20


def head(path: str = SENTIMENT, *headers: str, length: int = LENGTH, **options: Any) -> bytes:
    """Return the head of a request whose body is to follow."""
    return request(path, b"", *headers, **options).replace(
        b"Content-Length: 0", f"Content-Length: {length}".encode()
    )


async def answer_to(server: EchoServer, data: bytes) -> HttpAnswer:
    """Return the answer to a head, after which the server has to close the connection."""
    async with asyncio.timeout(8), connect(server.http_port) as connection:
        await connection.send(data)
        answer = await connection.answer()
        assert answer.headers["connection"] == "close"
        assert await connection.is_closed()
    return answer


HEADS: Final = {
    "length": (head(length=TOO_LONG), 413),
    "length of a stream of one message": (head(EMBED_STREAM, length=TOO_LONG, content_type=STREAM_JSON), 413),
    "path": (head("/qda.v1.SentimentService/Nope"), 404),
    "method": (head(method="PUT"), 405),
    "content type": (head(content_type="text/plain"), 415),
    "content type of a stream": (head(DOCUMENTS), 415),
    "content encoding": (head(SENTIMENT, "Content-Encoding: br"), 415),
    "content encoding of a stream": (
        head(DOCUMENTS, "Connect-Content-Encoding: br", content_type=STREAM_JSON),
        415,
    ),
    "version": (head(SENTIMENT, "Connect-Protocol-Version: 2"), 400),
    "deadline": (head(SENTIMENT, "Connect-Timeout-Ms: soon"), 400),
}


@pytest.mark.parametrize("expect", ["", EXPECT])
@pytest.mark.parametrize(("data", "status"), HEADS.values(), ids=HEADS)
async def test_a_head_suffices_for_a_refusal(data: bytes, status: int, expect: str) -> None:
    if expect:
        data = data.replace(b"Host:", f"{expect}\r\nHost:".encode())
    async with echo_server() as server:
        answer = await answer_to(server, data)
    assert answer.status == status
    assert all(line["received_bytes"] == 0 for line in server.lines)


@pytest.mark.parametrize("authorization", ["X: y", f"Authorization: Bearer {TOKEN[::-1]}"])
async def test_a_head_without_the_right_token_is_refused(tmp_path: Path, authorization: str) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"notebook {TOKEN}\n")
    tokens.chmod(0o600)
    async with echo_server(access=AccessSettings(tokens=tokens)) as server:
        for path in (SENTIMENT, DOCUMENTS):
            assert (await answer_to(server, head(path, authorization, EXPECT))).status == 401


async def test_a_head_without_the_right_certificate_is_refused() -> None:
    async with echo_server(access=AccessSettings(allowed_clients=("notebook",))) as server:
        answer = await answer_to(server, head(SENTIMENT, EXPECT, content_type="text/plain"))
        for path, content_type, *lines in (
            (SENTIMENT, "application/json", "Connect-Timeout-Ms: soon"),
            (DOCUMENTS, "text/plain"),
        ):
            other = await answer_to(server, head(path, EXPECT, *lines, content_type=content_type))
            assert (other.status, other.reason) == (403, "CLIENT_NOT_ALLOWED")
    assert (answer.status, answer.reason) == (403, "CLIENT_NOT_ALLOWED")
    assert server.lines[-1]["reason"] == "CLIENT_NOT_ALLOWED"


async def test_a_head_beyond_the_calls_of_its_caller_is_refused() -> None:
    async with echo_server(access=AccessSettings(max_caller_calls=1)) as server:
        server.model.gate.clear()
        async with connect(server.http_port) as connection:
            await connection.send(request(SENTIMENT, {"texts": [{"content": "blocks"}]}))
            await asyncio.to_thread(server.model.entered.acquire)
            answer = await answer_to(server, head(SENTIMENT, EXPECT))
            stream = await answer_to(server, head(DOCUMENTS, EXPECT, content_type=STREAM_JSON))
            server.model.gate.set()
            assert (await connection.answer()).status == 200
    assert (answer.status, answer.reason) == (429, "CALLER_LIMIT")
    assert answer.headers["retry-after"] == "1"
    assert stream.status == 200  # the error of a stream is in its last message
    assert b"CALLER_LIMIT" in stream.body
    assert [line.get("reason") for line in server.lines] == ["CALLER_LIMIT", "CALLER_LIMIT", None]


async def test_a_head_beyond_the_texts_of_its_caller_is_refused() -> None:
    access = AccessSettings(caller_texts_per_second=0.01)
    async with echo_server(access=access) as server, connect(server.http_port) as connection:
        await connection.send(request(SENTIMENT, {"texts": [{"content": "a"}, {"content": "b"}]}))
        assert (await connection.answer()).status == 200
        answer = await answer_to(server, head(SENTIMENT, EXPECT))
        await connection.send(request("/qda.v1.ModelService/ListModels", b"{}"))
        assert (await connection.answer()).status == 200  # it has no texts
    assert (answer.status, answer.reason) == (429, "CALLER_LIMIT")
    assert int(answer.headers["retry-after"]) > 50


async def test_a_call_below_the_limits_waits_for_its_body() -> None:
    body = {"texts": [{"content": "Köln"}]}
    data = request(SENTIMENT, body, EXPECT)
    size = data.index(b"\r\n\r\n") + 4
    access = AccessSettings(max_caller_calls=1, caller_texts_per_second=1)
    async with echo_server(access=access) as server, connect(server.http_port) as connection:
        for _ in range(2):
            await connection.send(data[:size])
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
            await connection.send(data[size:])
            assert (await connection.answer()).status == 200


async def test_a_stream_that_is_read_permits_its_body_before_it_answers() -> None:
    async with echo_server() as server, connect(server.http_port) as connection:
        await connection.send(head(DOCUMENTS, EXPECT, length=0, content_type=STREAM_JSON))
        async with asyncio.timeout(8):
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
            assert b"200" in await connection.reader.readuntil(b"\r\n\r\n")


async def test_a_client_that_sends_its_body_all_the_same_can_read_the_refusal() -> None:
    body = b"x" * 3_000_000  # more than the buffers of the system and of the server hold
    async with echo_server() as server, asyncio.timeout(20), connect(server.http_port) as connection:
        await connection.send(request(SENTIMENT, body, content_type="text/plain"))
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (415, "close")
        assert await connection.is_closed()
