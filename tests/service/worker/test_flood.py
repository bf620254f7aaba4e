"""Who connects and says nothing, or nonsense, keeps nobody else from being answered."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from qda.v1 import entity_pb2, entity_pb2_grpc, text_pb2
from qda_worker.client import Client, Settings
from tests.service.worker.calls import PATIENCE, texts
from tests.service.worker.process import ServeProcess, serving
from tests.service.worker.world import World

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HALF_A_CALL = struct.pack(">I", 1000)[1:] + b"\x01\x04\x00\x00\x00\x01"  # the head of HEADERS, and no body
FLOOD = 600
KINDS = (
    b"",  # silent
    PREFACE[:7],  # half a greeting
    PREFACE + EMPTY_SETTINGS,  # connected, and idle
    PREFACE + EMPTY_SETTINGS + HALF_A_CALL,
    b"\x16\x03\x01\x02\x00" + bytes(100),  # TLS to a plain port
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
)


@pytest.fixture(scope="module")
def worker(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    arguments = ["--catalog", str(world.catalog_file), "--cache", str(world.cache), "--no-fetch"]
    with serving(tmp_path_factory.mktemp("flood"), *arguments, "--model", "tiny-ner") as process:
        process.wait_until_ready()
        yield process


def answered(worker: ServeProcess) -> bool:
    """By a connection of its own."""
    with Client(Settings(worker.address, timeout=PATIENCE)) as client:
        return client.entities(["Merkel"])[0].ok


def test_hundreds_of_idle_and_half_open_connections_keep_nobody_from_being_answered(
    worker: ServeProcess,
) -> None:
    host, _, port = worker.address.rpartition(":")
    with ExitStack() as flood, worker.channel() as before:
        stub = entity_pb2_grpc.EntityServiceStub(before)
        request = entity_pb2.RecognizeEntitiesRequest(
            texts=texts("Merkel"), offset_encoding=text_pb2.OFFSET_ENCODING_UTF8_BYTES
        )
        assert stub.RecognizeEntities(request, timeout=PATIENCE).results
        for number in range(FLOOD):
            connection = flood.enter_context(socket.create_connection((host, int(port)), PATIENCE))
            with suppress(OSError):  # nonsense may be cut off at once
                connection.sendall(KINDS[number % len(KINDS)])
        assert stub.RecognizeEntities(request, timeout=PATIENCE).results, "who was there before"
        assert answered(worker), "who comes now"
        assert worker.health() == "SERVING"
    assert answered(worker)
    assert worker.process.poll() is None


def test_more_calls_at_once_than_are_let_in_are_answered_or_refused_with_a_reason(
    world: World, tmp_path: Path
) -> None:
    arguments = ["--catalog", str(world.catalog_file), "--cache", str(world.cache), "--no-fetch"]
    arguments += ["--model", "tiny-ner", "--max-calls", "20"]
    with serving(tmp_path, *arguments) as worker, worker.channel() as channel:
        worker.wait_until_ready()
        request = entity_pb2.RecognizeEntitiesRequest(
            texts=texts("Merkel"), offset_encoding=text_pb2.OFFSET_ENCODING_UTF8_BYTES
        )
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        calls = [stub.RecognizeEntities.future(request, timeout=PATIENCE) for _ in range(400)]
        codes = {call.code() for call in calls}
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert grpc.StatusCode.OK in codes
        for call in calls:
            if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                assert "TOO_MANY_CALLS" in call.details()
        assert answered(worker), "afterwards all is as before"
