"""Reflection in both versions: clients without our proto find services, messages and error details."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from qda_worker.services import SERVICES
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.process import ServeProcess

VERSIONS: Final = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
ERROR_DETAILS: Final = ("google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo")


def reflect(channel: grpc.Channel, package: str, **request: Any) -> Any:
    call = channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return next(iter(call(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=TIMEOUT)))


@pytest.mark.parametrize("package", VERSIONS)
def test_services_are_listed(channel: grpc.Channel, package: str) -> None:
    answer = reflect(channel, package, list_services="")
    names = {service.name for service in answer.list_services_response.service}
    reflections = {f"{version}.ServerReflection" for version in VERSIONS}
    assert names == {*SERVICES, "grpc.health.v1.Health", *reflections}


@pytest.mark.parametrize("package", VERSIONS)
def test_services_and_error_details_are_described(channel: grpc.Channel, package: str) -> None:
    described = (
        *SERVICES,
        *ERROR_DETAILS,
        "grpc.health.v1.Health",
        *(f"{v}.ServerReflection" for v in VERSIONS),
    )
    for symbol in described:
        answer = reflect(channel, package, file_containing_symbol=symbol)
        assert answer.HasField("file_descriptor_response"), symbol


@pytest.mark.parametrize("package", VERSIONS)
def test_methods_and_fields_are_found_by_name(channel: grpc.Channel, package: str) -> None:
    methods = (
        "qda.v1.SentimentService.AnalyzeSentiment",
        "grpc.health.v1.Health.Check",
        f"{package}.ServerReflection.ServerReflectionInfo",
    )
    for symbol in (*methods, "qda.v1.AnalyzeDocumentsRequest.part"):
        answer = reflect(channel, package, file_containing_symbol=symbol)
        assert answer.HasField("file_descriptor_response"), symbol
    unknown = reflect(channel, package, file_containing_symbol="qda.v1.SentimentService.Nothing")
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.fixture
def grpcurl() -> str:
    program = shutil.which("grpcurl")
    if program is None:
        pytest.skip("grpcurl is not in PATH")
    return program


def run(arguments: list[str], stdin: str = "") -> Iterator[str]:
    completed = subprocess.run(
        arguments, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return iter((completed.stdout, completed.stderr))


def test_grpcurl_lists_describes_and_calls(worker: ServeProcess, grpcurl: str) -> None:
    plain = [grpcurl, "-plaintext"]
    listed, _ = run([*plain, worker.address, "list"])
    assert set(SERVICES) <= set(listed.split())
    described, _ = run([*plain, worker.address, "describe"])
    assert "service ServerReflection" in described
    body = '{"texts": [{"content": "das ist gut"}, {"content": ""}]}'
    method = "qda.v1.SentimentService/AnalyzeSentiment"
    answer, problem = run([*plain, "-d", body, worker.address, method])
    assert not problem
    assert "SENTIMENT_LABEL_" in answer
    assert "type.googleapis.com/google.rpc.ErrorInfo" in answer
    _, refused = run([*plain, "-d", '{"texts": []}', worker.address, method])
    assert "ARGUMENT_INVALID" in refused
