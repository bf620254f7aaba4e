"""Connections that send nothing or invalid bytes do not delay other calls."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from threading import Event
from typing import Any, Final

import grpc
import pytest

from qda.v1 import analysis_pb2, analysis_pb2_grpc, entity_pb2, entity_pb2_grpc, text_pb2
from qda_worker.client import Client, Settings
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.documents import parts, settings
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS: Final = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HALF_A_CALL: Final = (
    struct.pack(">I", 1000)[1:] + b"\x01\x04\x00\x00\x00\x01"
)  # the head of HEADERS, and no body
FLOOD: Final = 600
LIMIT: Final = 20
SHARE: Final = 16  # of one host
KINDS: Final = (
    b"",  # silent
    PREFACE[:7],  # half a greeting
    PREFACE + EMPTY_SETTINGS,  # connected, and idle
    PREFACE + EMPTY_SETTINGS + HALF_A_CALL,
    b"\x16\x03\x01\x02\x00" + bytes(100),  # TLS to a plain port
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
)

REQUEST: Final = entity_pb2.RecognizeEntitiesRequest(
    texts=texts("Merkel"), offset_encoding=text_pb2.OFFSET_ENCODING_UTF8_BYTES
)


@pytest.fixture(scope="module")
def worker(cache_fixture: CacheFixture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """Yield a worker that admits so few calls at once that they can be counted."""
    arguments = [
        "--catalog",
        str(cache_fixture.catalog_file),
        "--cache",
        str(cache_fixture.cache),
        "--no-fetch",
    ]
    arguments += ["--model", "tiny-ner", "--max-calls", str(LIMIT)]
    with serving(tmp_path_factory.mktemp("flood"), *arguments) as process:
        process.wait_until_ready()
        yield process


def answered(worker: ServeProcess) -> bool:
    """Call over a new connection."""
    with Client(Settings(worker.address, timeout=TIMEOUT)) as client:
        return client.entities(["Merkel"])[0].ok


def test_hundreds_of_idle_and_half_open_connections_delay_no_other_call(
    worker: ServeProcess,
) -> None:
    host, _, port = worker.address.rpartition(":")
    with ExitStack() as flood, worker.channel() as before:
        stub = entity_pb2_grpc.EntityServiceStub(before)
        assert stub.RecognizeEntities(REQUEST, timeout=TIMEOUT).results
        for number in range(FLOOD):
            connection = flood.enter_context(socket.create_connection((host, int(port)), TIMEOUT))
            with suppress(OSError):  # nonsense may be cut off at once
                connection.sendall(KINDS[number % len(KINDS)])
        assert stub.RecognizeEntities(REQUEST, timeout=TIMEOUT).results, "who was there before"
        assert answered(worker), "who comes now"
        assert worker.health() == "SERVING"
    assert answered(worker)
    assert worker.process.poll() is None


def test_calls_above_the_limit_are_refused_with_a_reason(
    worker: ServeProcess,
) -> None:
    with worker.channel() as channel:
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        calls = [stub.RecognizeEntities.future(REQUEST, timeout=TIMEOUT) for _ in range(400)]
        codes = {call.code() for call in calls}
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert grpc.StatusCode.OK in codes
        for call in calls:
            if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                assert "TOO_MANY_CALLS" in call.details()
        assert answered(worker), "afterwards all is as before"


def test_one_call_beyond_the_share_is_refused_with_a_wait_until_one_has_ended(worker: ServeProcess) -> None:
    def documents() -> Iterator[analysis_pb2.AnalyzeDocumentsRequest]:
        yield from parts(settings(entities=True), [])
        over.wait(TIMEOUT)

    over = Event()
    with worker.channel() as channel:
        analyze = analysis_pb2_grpc.AnalysisServiceStub(channel).AnalyzeDocuments
        ask = entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities
        streams: list[Any] = [analyze(documents()) for _ in range(SHARE)]
        try:
            assert all(next(stream).HasField("header") for stream in streams)
            with pytest.raises(grpc.RpcError) as caught:
                ask(REQUEST, timeout=TIMEOUT)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "TOO_MANY_CALLS" in error.details()
            assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
            assert worker.health() == "SERVING", "health is never refused"
            ended = len(worker.events("call.ended"))
            streams[0].cancel()
            worker.wait_for("the first stream's end", lambda: len(worker.events("call.ended")) > ended)
            assert ask(REQUEST, timeout=TIMEOUT).results
        finally:
            over.set()
            for stream in streams:
                stream.cancel()
