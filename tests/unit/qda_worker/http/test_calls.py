"""Calls by HTTP are calls of the worker: access, limits of calls and names of callers hold for them as for gRPC."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from qda.v1 import sentiment_pb2
from qda_worker.http.calls import HttpContext, peer_address
from qda_worker.http.exchange import Exchange, Peer
from qda_worker.settings import AccessSettings
from tests.support.echo_worker import echo_server
from tests.support.http_client import SENTIMENT, call, connect, request

BODY: Final = {"texts": [{"content": "Köln"}]}
TOKEN: Final = "0123456789abcdef0123456789abcdef"


async def test_a_call_needs_a_token_before_its_body_is_read(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"notebook {TOKEN}\n")
    tokens.chmod(0o600)
    async with echo_server(access=AccessSettings(tokens=tokens)) as server:
        async with connect(server.http_port) as connection:
            await connection.send(request(SENTIMENT).replace(b"Length: 0", b"Length: 1000"))
            refused = await connection.answer()
        unknown = await call(server.http_port, SENTIMENT, BODY, f"Authorization: Bearer {TOKEN[::-1]}")
        accepted = await call(server.http_port, SENTIMENT, BODY, f"Authorization: Bearer {TOKEN}")
    assert (refused.status, refused.reason) == (401, "TOKEN_MISSING")
    assert refused.headers["www-authenticate"] == 'Bearer realm="qda-worker"'
    assert (unknown.status, unknown.reason) == (401, "TOKEN_UNKNOWN")
    assert accepted.status == 200
    assert TOKEN not in json.dumps(server.lines)


async def test_both_ports_share_one_limit_of_calls() -> None:
    async with echo_server(access=AccessSettings(max_caller_calls=1)) as server:
        server.model.gate.clear()
        async with grpc.aio.insecure_channel(server.target) as channel:
            message = sentiment_pb2.AnalyzeSentimentRequest()
            message.texts.add(content="blocks")
            method: grpc.aio.UnaryUnaryMultiCallable[sentiment_pb2.AnalyzeSentimentRequest, bytes] = (
                channel.unary_unary(SENTIMENT, sentiment_pb2.AnalyzeSentimentRequest.SerializeToString)
            )
            running = method(message)
            await asyncio.to_thread(server.model.entered.acquire)
            answer = await call(server.http_port, SENTIMENT, BODY)
            server.model.gate.set()
            await running
    assert (answer.status, answer.json["code"], answer.reason) == (
        429,
        "resource_exhausted",
        "CALLER_LIMIT",
    )
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("10.0.0.1", 5), "ipv4:10.0.0.1:5"),
        (("::1", 5, 0, 0), "ipv6:%5B::1%5D:5"),
        ("", "unix:"),
    ],
)
def test_an_address_is_written_as_grpc_writes_it(name: object, address: str) -> None:
    assert peer_address(name) == address


async def test_a_context_gives_what_services_and_interceptors_ask_for() -> None:
    transport: Any = None
    exchange = Exchange("POST", "/", "", [], Peer("ipv4:1.2.3.4:5"), transport)
    context = HttpContext(exchange, (("a", "b"),), 10.0)
    assert context.invocation_metadata() == (("a", "b"),)
    assert context.peer() == "ipv4:1.2.3.4:5"
    assert context.auth_context() == {}
    assert 9 < (context.time_remaining() or 0) <= 10
    assert (context.code(), context.details(), context.done(), context.cancelled()) == (
        None,
        "",
        False,
        False,
    )
    context.set_trailing_metadata((("x", "y"),))
    with pytest.raises(grpc.aio.AbortError):
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
    assert (context.code(), context.details()) == (grpc.StatusCode.NOT_FOUND, "gone")
    assert context.trailing_metadata() == (("x", "y"),)
