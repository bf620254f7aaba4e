"""Each way in which a call can fail becomes one error of the client, with a reason and a remedy."""

import socket
import socketserver
import threading
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from qda_worker.client import (
    CallCancelled,
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    NotReachable,
    NotReady,
    NotServed,
    Overloaded,
    Refused,
    SentimentTask,
    ServerFailed,
    Settings,
    Violation,
)
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import Fault, hang, refuse, retry_info

CODE: Final = grpc.StatusCode


@pytest.mark.parametrize(
    ("fault", "expected", "reason"),
    [
        (refuse(CODE.INVALID_ARGUMENT, "MODEL_UNKNOWN"), InvalidRequest, "MODEL_UNKNOWN"),
        (refuse(CODE.FAILED_PRECONDITION, "TASK_NOT_SERVED"), NotServed, "TASK_NOT_SERVED"),
        (refuse(CODE.UNIMPLEMENTED), NotServed, "UNIMPLEMENTED"),
        (refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL"), Overloaded, "QUEUE_FULL"),
        (refuse(CODE.RESOURCE_EXHAUSTED), Overloaded, "QUEUE_FULL"),
        (
            refuse(CODE.RESOURCE_EXHAUSTED, "", "larger than max (5 vs. 4)"),
            InvalidRequest,
            "MESSAGE_TOO_LARGE",
        ),
        (refuse(CODE.DEADLINE_EXCEEDED), DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (refuse(CODE.UNAUTHENTICATED), Refused, "UNAUTHENTICATED"),
        (refuse(CODE.PERMISSION_DENIED), Refused, "PERMISSION_DENIED"),
        (refuse(CODE.INTERNAL, "MODEL_FAILED"), ServerFailed, "MODEL_FAILED"),
        (refuse(CODE.UNKNOWN), ServerFailed, "INTERNAL"),
        (refuse(CODE.DATA_LOSS), ServerFailed, "INTERNAL"),
    ],
)
def test_each_status_is_one_error(
    worker: FakeWorker, invoke: Invoke, fault: Fault, expected: type[ClientError], reason: str
) -> None:
    worker.faults = [fault]
    with pytest.raises(ClientError) as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"])
    assert type(caught.value) is expected
    assert caught.value.reason == reason
    assert caught.value.message
    assert caught.value.remedy
    assert len(worker.calls) == 1


def test_reason_and_remedy_are_not_repeated_in_the_message(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(CODE.INVALID_ARGUMENT, "MODEL_UNKNOWN", "there is no model x")]
    with pytest.raises(InvalidRequest) as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"], model="x")
    assert str(caught.value) == "MODEL_UNKNOWN: there is no model x. Remedy: correct it"


def test_field_violations_are_part_of_the_error(worker: FakeWorker, invoke: Invoke) -> None:
    field = error_details_pb2.BadRequest.FieldViolation(field="texts[3].id", description="too long")
    details: tuple[Message, ...] = (error_details_pb2.BadRequest(field_violations=[field]),)
    worker.faults = [refuse(CODE.INVALID_ARGUMENT, "ARGUMENT_INVALID", details=details)]
    with pytest.raises(InvalidRequest) as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"])
    assert caught.value.violations == (Violation("texts[3].id", "too long"),)


@pytest.mark.parametrize(
    ("method", "arguments", "options"),
    [
        ("sentiment", [["a"]], {}),
        ("find_paraphrases", [["a"]], {"best": 1}),
        ("analyze", [["a"], [SentimentTask()]], {}),
        ("models", [], {}),
        ("health", [], {}),
    ],
)
def test_an_unreachable_target_is_named_with_a_remedy(
    invoke: Invoke, method: str, arguments: list[Any], options: dict[str, Any]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NotReachable) as caught:
        invoke(Settings(target), method, *arguments, **options)
    assert caught.value.target == target
    assert target in caught.value.message
    assert "refused" in caught.value.message.lower()
    assert "qda-worker serve" in caught.value.remedy


@pytest.mark.parametrize("method", ["sentiment", "analyze"])
@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"<!DOCTYPE HTML>\n<p>Bad request",
        b"SSH-2.0-x\r\n",
    ],
)
def test_another_server_at_the_port_is_told_from_a_worker(
    invoke: Invoke, method: str, response: bytes
) -> None:
    """A web server, one of HTTP 0.9, one of another protocol."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1024)
            self.request.sendall(response)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        arguments = [["a"]] if method == "sentiment" else [["a"], [SentimentTask()]]
        with pytest.raises(NotReachable, match="does not speak gRPC") as caught:
            invoke(Settings(f"127.0.0.1:{server.server_address[1]}", timeout=1), method, *arguments)
        server.shutdown()
    assert "50051" in caught.value.remedy


def test_a_worker_is_older_or_the_port_is_that_of_its_probes(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(CODE.UNIMPLEMENTED, "", "Method not found!")]
    with pytest.raises(NotServed, match="does not have this method") as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"])
    assert "older than this client" in caught.value.remedy


def test_a_worker_that_is_not_ready_is_reported_with_its_reason(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(CODE.UNAVAILABLE, "NOT_READY", "german-ner waits for its cache")] * 50
    with pytest.raises(NotReady, match="german-ner waits for its cache"):
        invoke(Settings(worker.target), "entities", ["gut"], timeout=2)


def test_a_draining_worker_is_retried(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(CODE.UNAVAILABLE, "DRAINING")] * 2
    assert invoke(Settings(worker.target), "sentiment", ["gut"])[0].ok
    assert len(worker.calls) == 3


def test_a_full_queue_is_retried_after_the_delay_of_retry_info(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),))] * 2
    assert invoke(Settings(worker.target), "sentiment", ["gut"])[0].ok
    assert len(worker.calls) == 3


def test_pushback_overrides_retry_info_and_forbids_retries_if_negative(
    worker: FakeWorker, invoke: Invoke
) -> None:
    busy = refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),), pushback="-1")
    worker.faults = [busy]
    with pytest.raises(Overloaded) as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"])
    assert caught.value.retry_after is None
    assert len(worker.calls) == 1


def test_a_delay_beyond_the_deadline_is_not_waited_for(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [
        refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(900),), pushback="900000")
    ]
    with pytest.raises(Overloaded) as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"], timeout=5)
    assert caught.value.retry_after == 900
    assert len(worker.calls) == 1


def test_a_missing_response_is_deadline_exceeded(worker: FakeWorker, invoke: Invoke) -> None:
    released = threading.Event()
    worker.faults = [hang(threading.Event(), released)]
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            invoke(Settings(worker.target), "sentiment", ["gut"], timeout=0.2)
    finally:
        released.set()
    assert worker.target in caught.value.message


@pytest.mark.parametrize(
    "method", ["sentiment", "embed", "find_paraphrases", "analyze", "embed_stream", "models"]
)
@pytest.mark.parametrize(
    "fault",
    [
        refuse(CODE.CANCELLED),
        refuse(CODE.CANCELLED, "CANCELLED_BY_WORKER"),
        refuse(CODE.UNAVAILABLE, "", "GOAWAY"),
    ],
    ids=["cancelled", "cancelled with a reason", "goaway"],
)
def test_a_call_that_the_worker_ended_is_sent_again(
    worker: FakeWorker, invoke: Invoke, method: str, fault: Fault
) -> None:
    """Also the first call of a client: what accepts a call and ends it is a worker that shuts down."""
    worker.faults = [fault] * 2
    more = {"find_paraphrases": {"best": 1}}.get(method, {})
    arguments = (
        [] if method == "models" else [["gut", "nun"], *([[SentimentTask()]] if method == "analyze" else [])]
    )
    assert invoke(Settings(worker.target), method, *arguments, **more)
    assert len(worker.calls) == 3


def test_a_worker_that_cancels_every_attempt_is_named(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(CODE.CANCELLED)] * 99
    with pytest.raises(CallCancelled) as caught:
        invoke(Settings(worker.target), "sentiment", ["gut"], timeout=1)
    assert f"the worker at {worker.target} cancelled the call" in caught.value.message
    assert "keep the client open" not in caught.value.remedy


def test_details_that_cannot_be_parsed_do_not_hide_the_error(worker: FakeWorker, invoke: Invoke) -> None:
    def garbage(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(CODE.INTERNAL, "broken")

    worker.faults = [garbage]
    with pytest.raises(ServerFailed, match="broken"):
        invoke(Settings(worker.target), "sentiment", ["gut"])
