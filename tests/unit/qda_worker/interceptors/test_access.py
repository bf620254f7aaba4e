"""The access policy in front of a gRPC server with real connections."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from qda.v1 import model_pb2, model_pb2_grpc, sentiment_pb2, sentiment_pb2_grpc, text_pb2
from qda_worker.settings import AccessSettings
from tests.support.certificates import Authority
from tests.support.echo_worker import EchoServer, echo_server

ALICE: Final = "alice-0123456789abcdef"
BOB: Final = "bob-fedcba9876543210"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"alice {ALICE}\nbob {BOB}\n")
    file.chmod(0o600)
    return file


def request(*texts: str) -> sentiment_pb2.AnalyzeSentimentRequest:
    return sentiment_pb2.AnalyzeSentimentRequest(texts=[text_pb2.Text(content=text) for text in texts])


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def analyze(channel: grpc.aio.Channel, token: str = "", text: str = "Köln") -> str:
    """Return the reason of the refusal, or an empty string."""
    stub: Any = sentiment_pb2_grpc.SentimentServiceStub(channel)
    return await reason(stub.AnalyzeSentiment(request(text), metadata=bearer(token) if token else ()))


async def reason(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        status: Any = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        remedy = info.metadata["remedy"]
        return (
            f"{error.code().name} {info.reason}" if remedy and remedy in str(error.details()) else "no remedy"
        )
    return ""


async def test_only_calls_with_a_token_are_answered_and_their_name_is_logged(tokens: Path) -> None:
    async with (
        echo_server(access=AccessSettings(tokens=tokens)) as echo,
        grpc.aio.insecure_channel(echo.target) as channel,
    ):
        assert await analyze(channel) == "UNAUTHENTICATED TOKEN_MISSING"
        assert await analyze(channel, "wrong-0123456789abcdef") == "UNAUTHENTICATED TOKEN_UNKNOWN"
        assert await analyze(channel, ALICE) == ""
        models: Any = model_pb2_grpc.ModelServiceStub(channel)
        assert (
            await reason(models.ListModels(model_pb2.ListModelsRequest())) == "UNAUTHENTICATED TOKEN_MISSING"
        )
        await models.ListModels(model_pb2.ListModelsRequest(), metadata=bearer(BOB))
        await until(lambda: len(echo.lines) == 6)
    calls = [line for line in echo.lines if line["event"] == "call.ended"]
    assert [(line["status"], line.get("reason"), line.get("principal")) for line in calls] == [
        ("UNAUTHENTICATED", "TOKEN_MISSING", None),
        ("UNAUTHENTICATED", "TOKEN_UNKNOWN", None),
        ("OK", None, "alice"),
        ("UNAUTHENTICATED", "TOKEN_MISSING", None),
        ("OK", None, "bob"),
    ]
    assert all(line["caller"] for line in calls)
    assert "0123456789" not in str(echo.lines)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # the condition belongs to code without an event
            await asyncio.sleep(0.01)


async def test_the_request_of_a_refused_call_is_not_read(tokens: Path) -> None:
    async with (
        echo_server(access=AccessSettings(tokens=tokens)) as echo,
        grpc.aio.insecure_channel(echo.target, options=[("grpc.max_send_message_length", -1)]) as channel,
    ):
        assert await analyze(channel, text="x" * 3_000_000) == "UNAUTHENTICATED TOKEN_MISSING"
        await until(lambda: len(echo.lines) == 2)
    assert echo.lines[1]["received_bytes"] == 0


async def test_reflection_needs_the_token_too(tokens: Path) -> None:
    async def services(channel: grpc.aio.Channel, metadata: Any) -> int:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="*")
        call = stub.ServerReflectionInfo(iter([asked]), metadata=metadata)
        return sum([len(answer.list_services_response.service) async for answer in call])

    async with (
        echo_server(access=AccessSettings(tokens=tokens)) as echo,
        grpc.aio.insecure_channel(echo.target) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="TOKEN_MISSING"):
            await services(channel, ())
        assert await services(channel, bearer(ALICE)) > 3


async def test_calls_that_run_go_on_while_their_token_is_replaced(tokens: Path) -> None:
    async with (
        echo_server(access=AccessSettings(tokens=tokens)) as echo,
        grpc.aio.insecure_channel(echo.target) as channel,
    ):
        echo.model.gate.clear()
        running = asyncio.create_task(analyze(channel, ALICE))
        await until(lambda: echo.policy.calls._in_progress["alice"] == 1)
        tokens.write_text(f"alice new-{ALICE}\n", encoding="utf-8")  # noqa: ASYNC240  # a small file
        echo.policy.reload_if_changed()
        assert await analyze(channel, ALICE) == "UNAUTHENTICATED TOKEN_UNKNOWN"
        echo.model.gate.set()
        assert await running == ""
        assert await analyze(channel, f"new-{ALICE}") == ""


async def test_the_limit_of_one_caller_leaves_the_others_alone(tokens: Path) -> None:
    access = AccessSettings(tokens=tokens, max_caller_calls=2)
    async with echo_server(access=access) as echo, grpc.aio.insecure_channel(echo.target) as channel:
        echo.model.gate.clear()
        running = [asyncio.create_task(analyze(channel, ALICE, f"text {number}")) for number in range(2)]
        await until(lambda: echo.policy.calls._in_progress["alice"] == 2)
        assert await analyze(channel, ALICE) == "RESOURCE_EXHAUSTED CALLER_LIMIT"
        other = asyncio.create_task(analyze(channel, BOB))
        echo.model.gate.set()
        assert await asyncio.gather(*running, other) == ["", "", ""]
        assert await analyze(channel, ALICE) == ""


async def test_texts_per_second_are_limited_by_caller(tokens: Path) -> None:
    access = AccessSettings(tokens=tokens, caller_texts_per_second=0.01)
    async with echo_server(access=access) as echo, grpc.aio.insecure_channel(echo.target) as channel:
        stub: Any = sentiment_pb2_grpc.SentimentServiceStub(channel)
        texts = request(*(f"text {number}" for number in range(5)))
        assert await reason(stub.AnalyzeSentiment(texts, metadata=bearer(ALICE))) == ""
        assert await analyze(channel, ALICE) == "RESOURCE_EXHAUSTED CALLER_LIMIT"
        assert await analyze(channel, BOB) == ""


async def test_only_certificates_with_an_allowed_name_are_accepted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("server")
    server_credentials = grpc.ssl_server_credentials(
        [(own.key.read_bytes(), own.certificate.read_bytes())], authority.file.read_bytes(), True
    )

    async def call(echo: EchoServer, name: str, dns: str) -> str:
        pair = authority.issue(name, dns=dns)
        credentials = grpc.ssl_channel_credentials(
            authority.file.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
        )
        async with grpc.aio.secure_channel(
            echo.target.replace("127.0.0.1", "localhost"), credentials
        ) as channel:
            return await analyze(channel)

    access = AccessSettings(allowed_clients=("dats", "analysis.example.org"))
    async with echo_server(access=access, credentials=server_credentials) as echo:
        assert await call(echo, "dats", "dats.example.org") == ""
        assert await call(echo, "anybody", "analysis.example.org") == ""
        assert await call(echo, "stranger", "stranger.example.org") == "PERMISSION_DENIED CLIENT_NOT_ALLOWED"
        await until(lambda: len(echo.lines) == 3)
    assert [line.get("principal") for line in echo.lines] == ["dats", "analysis.example.org", None]
    assert echo.lines[2]["peer_name"] == "stranger"
