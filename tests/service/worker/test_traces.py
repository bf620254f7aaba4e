"""Traces of a real worker, as an OpenTelemetry collector receives them."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qda.v1 import entity_pb2, entity_pb2_grpc, text_pb2
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.support.trace_receiver import attributes, grpc_receiver, http_receiver

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
METHOD: Final = "qda.v1.EntityService/RecognizeEntities"
SECRET: Final = "Geheimnisvoll"


def options(cache_fixture: CacheFixture) -> list[str]:
    arguments = [
        "--catalog",
        str(cache_fixture.catalog_file),
        "--cache",
        str(cache_fixture.cache),
        "--no-fetch",
    ]
    return [*arguments, "--model", "tiny-ner"]


def recognize(
    worker: ServeProcess, encoding: text_pb2.OffsetEncoding.ValueType, *metadata: tuple[str, str]
) -> None:
    request = entity_pb2.RecognizeEntitiesRequest(
        texts=texts(f"Merkel {SECRET}", "Köln"), offset_encoding=encoding
    )
    with worker.channel() as channel:
        call = entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities
        call(request, timeout=TIMEOUT, metadata=metadata)


def test_a_call_is_a_child_of_its_callers_span_and_has_timed_children(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-qda-caller", "study-7"))
    with (
        http_receiver() as (url, received),
        serving(tmp_path, *options(cache_fixture), OTEL_EXPORTER_OTLP_ENDPOINT=url) as worker,
    ):
        worker.wait_until_ready()
        recognize(worker, text_pb2.OFFSET_ENCODING_UTF8_BYTES, *metadata)
        with pytest.raises(grpc.RpcError):
            recognize(worker, text_pb2.OFFSET_ENCODING_UNSPECIFIED)
        line = worker.wait_for_event("call.ended")
        assert worker.stop() == 0, "the last spans are exported before the end"
    answered, refused = (span for span in received.spans if span.name == METHOD)
    assert answered.trace_id.hex() == line["trace_id"] == TRACE
    assert answered.parent_span_id.hex() == PARENT
    assert answered.kind == Span.SPAN_KIND_SERVER
    known = attributes(answered.attributes)
    assert (known["rpc.service"], known["rpc.method"]) == tuple(METHOD.split("/"))
    assert known["rpc.grpc.status_code"] == 0
    assert (known["qda.model"], known["qda.items"], known["qda.caller"]) == ("tiny-ner", 2, "study-7")
    children = [span for span in received.spans if span.parent_span_id == answered.span_id]
    assert [span.name for span in children] == ["tokenize", "queue", "compute"]
    for child in children:
        assert answered.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
        assert child.end_time_unix_nano <= answered.end_time_unix_nano
    assert attributes(refused.attributes)["qda.reason"] == "ENCODING_MISSING"
    assert refused.status.code == Status.STATUS_CODE_UNSET, "an error of the caller is no error of the server"
    assert refused.trace_id != answered.trace_id
    assert received.resource["service.name"] == "qda-worker"
    assert not [message for message in received.raw if SECRET.encode() in message]


def test_traces_are_exported_over_grpc_with_the_configured_name(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    with grpc_receiver() as (url, received):
        variables = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_SERVICE_NAME": "analysis",
        }
        with serving(tmp_path, *options(cache_fixture), **variables) as worker:
            worker.wait_until_ready()
            recognize(worker, text_pb2.OFFSET_ENCODING_UTF8_BYTES)
            assert worker.stop() == 0
    assert METHOD in [span.name for span in received.spans]
    assert received.resource["service.name"] == "analysis"


def test_an_unreachable_collector_delays_neither_calls_nor_shutdown(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with serving(tmp_path, *options(cache_fixture), OTEL_EXPORTER_OTLP_ENDPOINT=url) as worker:
            worker.wait_until_ready()
            recognize(worker, text_pb2.OFFSET_ENCODING_UTF8_BYTES)
            assert worker.stop() == 0
            assert SECRET not in worker.log


def test_opentelemetry_is_not_imported_without_an_endpoint() -> None:
    program = (
        "import sys, qda_worker.server.worker as w; assert w.open_tracing({}) is None; "
        "assert w.open_tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://x', 'OTEL_SDK_DISABLED': 'true'}) is None; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=TIMEOUT).returncode == 0


def test_an_unknown_protocol_is_an_error_that_names_the_variable(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    with serving(tmp_path, *options(cache_fixture), **variables) as worker:
        assert worker.wait() == 2
    assert 'OTEL_EXPORTER_OTLP_PROTOCOL: found "http/json"' in worker.log
