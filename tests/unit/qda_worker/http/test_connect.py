"""Calls by the Connect protocol: codecs, deadlines, encodings, streams, and what is refused with which error."""

import asyncio
import base64
import gzip
import json
import struct
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from google.rpc import error_details_pb2

from qda.v1 import sentiment_pb2
from qda_worker.http.client_limits import ClientLimits
from qda_worker.limits import MAX_REQUEST_BYTES
from tests.support.echo_worker import EchoServer, echo_server
from tests.support.http_client import SENTIMENT, HttpAnswer, call, connect, request

SECRET: Final = "GEHEIM"
DOCUMENTS: Final = "/qda.v1.AnalysisService/AnalyzeDocuments"


@pytest.fixture
async def server() -> AsyncIterator[EchoServer]:
    async with echo_server() as running:
        yield running
        for line in running.lines:
            assert line["event"] == "call.ended", line
            assert SECRET not in json.dumps(line)


def texts(*contents: str) -> dict[str, Any]:
    return {"texts": [{"id": str(index), "content": content} for index, content in enumerate(contents)]}


async def test_a_json_call_is_answered_with_every_number_and_logged(server: EchoServer) -> None:
    answer = await call(server.http_port, SENTIMENT, texts("Köln", ""), "X-Qda-Caller: notebook")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    first, second = answer.json["results"]
    assert first["id"] == "0"
    assert first["probabilities"] == {"positive": 0.04, "negative": 0.96, "neutral": 0.0}
    assert second["status"]["details"][0]["reason"] == "TEXT_EMPTY"
    (line,) = server.lines
    assert (line["status"], line["caller"], line["items"]) == ("OK", "notebook", 2)
    assert line["received_bytes"] == len(json.dumps(texts("Köln", "")))


async def test_a_binary_call_gives_what_grpc_gives(server: EchoServer) -> None:
    message = sentiment_pb2.AnalyzeSentimentRequest()
    message.texts.add(content="Köln")
    data = message.SerializeToString()
    answer = await call(server.http_port, SENTIMENT, data, content_type="application/proto")
    response = sentiment_pb2.AnalyzeSentimentResponse.FromString(answer.body)
    assert answer.headers["content-type"] == "application/proto"
    assert response.results[0].probabilities.positive == pytest.approx(0.04)


async def test_an_error_has_the_details_of_grpc_and_a_readable_form(server: EchoServer) -> None:
    answer = await call(server.http_port, SENTIMENT, {"texts": [{"content": "x"}], "model": "nope"})
    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
    assert answer.json["message"].startswith("MODEL_UNKNOWN: ")
    detail = answer.json["details"][0]
    assert detail["type"] == "google.rpc.ErrorInfo"
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))
    assert info.reason == "MODEL_UNKNOWN"


NOTHING_VALID: Final = [
    (b"nope", 400, "not valid JSON: line 1"),
    (b"", 400, "not valid JSON"),
    (b"[1]", 400, "the body is a list"),
    (b"null", 400, "the body is null"),
    (b'{"texts":[{"content":"' + SECRET.encode() + b'"}', 400, "not valid JSON"),
    (b'{"texts":[{"content":NaN}]}', 400, "NaN is not a number"),
    (b'{"texts":[{"content":' + b"1" * 5000 + b"}]}", 400, "a number is too long"),
    (b'{"txts":[]}', 400, 'did you mean "texts"?'),
    (b'{"GEHEIM ist das":1}', 400, "unknown field"),
    (b'{"texts":[{"content":5}]}', 400, "texts[0].content: a string is expected, not a number"),
    (b'{"texts":"GEHEIM"}', 400, "texts: a list is expected, not a string"),
    (b'{"texts":["GEHEIM"]}', 400, "texts[0]: an object is expected"),
    (b'{"texts":[{"content":"x"}],"priority":"GEHEIM"}', 400, "priority: one of PRIORITY_UNSPECIFIED"),
    (b'{"texts":[],"texts":[]}', 400, "the same name twice"),
    (b"[" * 10_000, 400, "nested too deeply"),
    (b'{"texts":' * 10_000, 400, "nested too deeply"),
    (b'{"texts":[{"content":"ab\\ud800c"}]}', 400, "texts[0].content: holds bytes that are not UTF-8"),
    (b'{"texts":[{"content":"ab\xffc"}]}', 400, "texts[0].content: holds bytes that are not UTF-8"),
    (b'{"texts":[' + b"{}," * 500_000 + b"{}]}", 400, "too many values"),
]


async def test_a_body_that_is_no_request_is_refused_without_its_text(server: EchoServer) -> None:
    for body, status, message in NOTHING_VALID:
        answer = await call(server.http_port, SENTIMENT, body)
        assert answer.status == status, body[:100]
        assert message in answer.json["message"], body[:100]
        assert SECRET.encode() not in answer.body
        assert server.lines[-1]["status"] == "INVALID_ARGUMENT"


NO_CALLS: Final[list[tuple[str, dict[str, str], tuple[str, ...], int, str]]] = [
    ("/", {}, (), 404, "unimplemented"),
    ("/qda.v1.SentimentService/Nope", {}, (), 404, "unimplemented"),
    ("/qda.v1.SentimentService/AnalyzeSentiment/", {}, (), 404, "unimplemented"),
    (SENTIMENT, {"method": "GET"}, (), 405, "invalid_argument"),
    (SENTIMENT, {"method": "DELETE"}, (), 405, "invalid_argument"),
    (SENTIMENT, {"content_type": ""}, (), 415, "invalid_argument"),
    (SENTIMENT, {"content_type": "application/x-www-form-urlencoded"}, (), 415, "invalid_argument"),
    (SENTIMENT, {"content_type": "application/json; charset=latin-1"}, (), 415, "invalid_argument"),
    (SENTIMENT, {"content_type": "application/connect+json"}, (), 415, "invalid_argument"),
    (SENTIMENT, {}, ("Content-Encoding: br",), 415, "invalid_argument"),
    (SENTIMENT, {}, ("Content-Encoding: gzip",), 400, "invalid_argument"),
    (SENTIMENT, {}, ("Connect-Protocol-Version: 2",), 400, "invalid_argument"),
    (SENTIMENT, {}, ("Connect-Timeout-Ms: soon",), 400, "invalid_argument"),
    (DOCUMENTS, {}, (), 415, "invalid_argument"),
]


async def test_a_request_that_is_no_call_is_refused_by_http(server: EchoServer) -> None:
    for path, options, headers, status, code in NO_CALLS:
        answer = await call(server.http_port, path, texts(SECRET), *headers, **options)
        assert (answer.status, answer.json["code"]) == (status, code), (path, options, headers)
        assert answer.reason in {"ARGUMENT_INVALID", "METHOD_UNKNOWN"}
        told = {405: ("allow",), 415: ("accept-post", "accept-encoding")}.get(status, ("date",))
        assert any(name in answer.headers for name in told)


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(server: EchoServer) -> None:
    async with connect(server.http_port) as connection:
        head = request(SENTIMENT, b"", content_type="application/json").replace(
            b"Length: 0", b"Length: 104857600"
        )
        await connection.send(head + b"x" * 100_000)
        answer = await connection.answer()
        assert (answer.status, answer.json["code"]) == (413, "resource_exhausted")
        assert answer.reason == "REQUEST_TOO_LARGE"


async def test_a_chunked_body_beyond_the_limit_is_refused_while_it_is_read(server: EchoServer) -> None:
    async with connect(server.http_port) as connection:
        head = request(SENTIMENT).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        await connection.send(head)
        chunk = b"400000\r\n" + b" " * 0x400000 + b"\r\n"
        for _ in range(5):
            await connection.send(chunk)
        assert (await connection.answer()).status == 413


async def test_gzip_is_understood_and_bounded(server: EchoServer) -> None:
    packed = gzip.compress(json.dumps(texts("Köln")).encode())
    assert (await call(server.http_port, SENTIMENT, packed, "Content-Encoding: gzip")).status == 200
    bomb = zlib.compressobj(9, wbits=31)
    data = bomb.compress(b" " * (MAX_REQUEST_BYTES + 1)) + bomb.flush()
    answer = await call(server.http_port, SENTIMENT, data, "Content-Encoding: gzip")
    assert (answer.status, answer.reason) == (413, "REQUEST_TOO_LARGE")


async def test_a_long_response_is_compressed_for_clients_that_accept_it(server: EchoServer) -> None:
    many = texts(*(f"{SECRET}{index}" for index in range(100)))
    plain = await call(server.http_port, SENTIMENT, many)
    packed = await call(server.http_port, SENTIMENT, many, "Accept-Encoding: br;q=1, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert json.loads(gzip.decompress(packed.body))["results"] == plain.json["results"]
    refused = await call(server.http_port, SENTIMENT, many, "Accept-Encoding: gzip;q=0")
    assert "content-encoding" not in refused.headers


async def test_a_deadline_ends_the_call_and_frees_the_queue(server: EchoServer) -> None:
    server.model.gate.clear()
    async with asyncio.timeout(20):
        blocked = asyncio.create_task(call(server.http_port, SENTIMENT, texts("blocks")))
        await asyncio.to_thread(server.model.entered.acquire)
        answer = await call(server.http_port, SENTIMENT, texts("waits"), "Connect-Timeout-Ms: 100")
        assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
        assert server.lines[-1]["status"] == "DEADLINE_EXCEEDED"
        server.model.gate.set()
        assert (await blocked).status == 200
    assert server.model.batches == [["blocks"]]


async def test_a_client_that_goes_away_cancels_its_call(server: EchoServer) -> None:
    server.model.gate.clear()
    async with connect(server.http_port) as connection:
        await connection.send(request(SENTIMENT, texts("blocks")))
        await asyncio.to_thread(server.model.entered.acquire)
    await server.http.stop(20)  # waits for the connection, whose call is not computed any more
    assert (server.lines[0]["status"], server.lines[0]["reason"]) == ("CANCELLED", "CANCELLED_BY_CALLER")


def envelopes(data: bytes) -> list[tuple[int, Any]]:
    found = []
    while data:
        flags, size = struct.unpack_from(">BI", data)
        found.append((flags, json.loads(data[5 : 5 + size])))
        data = data[5 + size :]
    return found


def envelope(message: dict[str, Any], flags: int = 0) -> bytes:
    data = json.dumps(message).encode()
    data = gzip.compress(data, mtime=0) if flags else data
    return struct.pack(">BI", flags, len(data)) + data


async def documents(server: EchoServer, body: bytes, *headers: str) -> HttpAnswer:
    return await call(server.http_port, DOCUMENTS, body, *headers, content_type="application/connect+json")


SETTINGS: Final[dict[str, Any]] = {"settings": {"sentiment": {}}}


async def test_a_stream_is_answered_message_by_message(server: EchoServer) -> None:
    body = envelope(SETTINGS) + envelope({"document": {"id": "a", "content": "Köln"}}, 1)
    answer = await documents(server, body, "Connect-Content-Encoding: gzip")
    (_, header), (_, result), (flags, end) = envelopes(answer.body)
    assert "header" in header, header
    assert result["result"]["id"] == "a"
    assert (flags, end) == (2, {})
    assert server.lines[-1]["status"] == "OK"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "begins with nothing"),
        (envelope(SETTINGS)[:-3], "ends within a message"),
        (envelope({"nope": 1}), "unknown field"),
        (b"\x08" + envelope(SETTINGS)[1:], "unknown flags"),
        (envelope(SETTINGS, 1), "unknown flags"),
        (struct.pack(">BI", 0, 2**31), "longer than"),
    ],
)
async def test_a_stream_that_is_malformed_ends_with_its_error(
    server: EchoServer, body: bytes, message: str
) -> None:
    answer = await documents(server, body)
    (flags, end) = envelopes(answer.body)[-1]
    assert (answer.status, flags) == (200, 2)
    assert message in end["error"]["message"]
    assert end["error"]["code"] in {"invalid_argument", "resource_exhausted"}


async def test_a_long_json_request_does_not_delay_others(server: EchoServer) -> None:
    long = json.dumps(texts(*("wort " * 3000 for _ in range(300)))).encode()
    slow = asyncio.create_task(call(server.http_port, SENTIMENT, long))
    began = time.monotonic()
    while not slow.done():
        assert (await call(server.http_port, SENTIMENT, b"{}")).status == 400
    assert time.monotonic() > began
    assert (await slow).status == 200


EMBED_STREAM: Final = "/qda.v1.EmbeddingService/EmbedStream"


async def test_the_deadline_holds_while_the_body_arrives(server: EchoServer) -> None:
    async with asyncio.timeout(8), connect(server.http_port) as connection:
        await connection.send(request(SENTIMENT, b"{" * 100, "Connect-Timeout-Ms: 100")[:-1])
        answer = await connection.answer()
    assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
    assert answer.headers["connection"] == "close"
    assert server.lines[-1]["status"] == "DEADLINE_EXCEEDED"


async def test_the_deadline_holds_while_the_message_of_a_server_stream_arrives(server: EchoServer) -> None:
    body = struct.pack(">BI", 0, 100) + b"{"
    head = request(EMBED_STREAM, body, "Connect-Timeout-Ms: 100", content_type="application/connect+json")
    async with asyncio.timeout(8), connect(server.http_port) as connection:
        await connection.send(head.replace(b"Length: 6", b"Length: 105"))
        ((_, end),) = envelopes((await connection.answer()).body)
    assert end["error"]["code"] == "deadline_exceeded"


async def test_a_server_stream_whose_message_arrives_too_slowly_is_refused() -> None:
    limits = ClientLimits(grace_seconds=0.2)
    async with echo_server(http_limits=limits) as server, connect(server.http_port) as connection:
        head = request(EMBED_STREAM, b"\0", content_type="application/connect+json")
        await connection.send(head.replace(b"Length: 1", b"Length: 100"))
        async with asyncio.timeout(8):
            answer = await connection.answer()
    assert (answer.status, answer.reason) == (408, "STREAM_IDLE")


async def test_what_comes_out_of_gzip_takes_memory_before_it_is_there(server: EchoServer) -> None:
    body = gzip.compress(json.dumps(texts("a" * 4_000_000)).encode())
    memory, before = server.http.memory, server.http.memory.free
    memory.charge(before - 3_000_000)
    refused = await call(server.http_port, SENTIMENT, body, "Content-Encoding: gzip")
    assert (refused.status, refused.reason, refused.headers["retry-after"]) == (429, "QUEUE_FULL", "1")
    assert memory.free == 3_000_000
    memory.give_back(before - 3_000_000)
    assert (await call(server.http_port, SENTIMENT, body, "Content-Encoding: gzip")).status == 200
    assert memory.free == before


async def test_the_message_of_a_stream_takes_memory_while_it_arrives(server: EchoServer) -> None:
    memory, before = server.http.memory, server.http.memory.free
    memory.charge(before - 50_000)
    answer = await documents(server, struct.pack(">BI", 0, 100_000) + b" " * 100_000)
    assert envelopes(answer.body)[-1][1]["error"]["message"].startswith("QUEUE_FULL")
    memory.give_back(before - 50_000)
    assert memory.free == before
