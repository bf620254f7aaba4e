"""Each way in which a call can fail is one error of ours, with its reason and a remedy; no gRPC error leaks."""

import asyncio
import socket
import threading
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from qda_worker.client import (
    AsyncClient,
    CallCancelled,
    Client,
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
from tests.client.conftest import Ask
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import Fault, refuse, retry_info

CODE: Final = grpc.StatusCode


def hang(arrived: threading.Event, released: threading.Event) -> Fault:
    """A call that says when it has arrived, and ends when it may."""

    def fault(context: grpc.ServicerContext) -> None:
        arrived.set()
        released.wait(30)

    return fault


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
        (refuse(CODE.CANCELLED), CallCancelled, "CANCELLED"),
        (refuse(CODE.INTERNAL, "MODEL_FAILED"), ServerFailed, "MODEL_FAILED"),
        (refuse(CODE.UNKNOWN), ServerFailed, "INTERNAL"),
        (refuse(CODE.DATA_LOSS), ServerFailed, "INTERNAL"),
    ],
)
def test_each_status_is_one_error(
    worker: FakeWorker, ask: Ask, fault: Fault, expected: type[ClientError], reason: str
) -> None:
    worker.script = [fault]
    with pytest.raises(ClientError) as caught:
        ask(Settings(worker.target), "sentiment", ["gut"])
    assert type(caught.value) is expected
    assert caught.value.reason == reason
    assert caught.value.message
    assert caught.value.remedy
    assert len(worker.calls) == 1


def test_the_workers_own_words_are_not_repeated(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(CODE.INVALID_ARGUMENT, "MODEL_UNKNOWN", "there is no model x")]
    with pytest.raises(InvalidRequest) as caught:
        ask(Settings(worker.target), "sentiment", ["gut"], model="x")
    assert str(caught.value) == "MODEL_UNKNOWN: there is no model x. Remedy: mend it"


def test_field_violations_are_told(worker: FakeWorker, ask: Ask) -> None:
    field = error_details_pb2.BadRequest.FieldViolation(field="texts[3].id", description="too long")
    details: tuple[Message, ...] = (error_details_pb2.BadRequest(field_violations=[field]),)
    worker.script = [refuse(CODE.INVALID_ARGUMENT, "ARGUMENT_INVALID", details=details)]
    with pytest.raises(InvalidRequest) as caught:
        ask(Settings(worker.target), "sentiment", ["gut"])
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
def test_nobody_at_the_target_is_said_with_the_target_and_what_to_do(
    ask: Ask, method: str, arguments: list[Any], options: dict[str, Any]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NotReachable) as caught:
        ask(Settings(target), method, *arguments, **options)
    assert caught.value.target == target
    assert target in caught.value.message
    assert "refused" in caught.value.message.lower()
    assert "qda-worker serve" in caught.value.remedy


def test_a_worker_that_is_not_ready_gives_its_reason(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(CODE.UNAVAILABLE, "NOT_READY", "german-ner waits for its cache")] * 50
    with pytest.raises(NotReady, match="german-ner waits for its cache"):
        ask(Settings(worker.target), "entities", ["gut"], timeout=2)


def test_a_worker_that_drains_is_tried_again(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(CODE.UNAVAILABLE, "DRAINING")] * 2
    assert ask(Settings(worker.target), "sentiment", ["gut"])[0].ok
    assert len(worker.calls) == 3


def test_a_full_queue_is_tried_again_after_the_time_it_asks_for(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),))] * 2
    assert ask(Settings(worker.target), "sentiment", ["gut"])[0].ok
    assert len(worker.calls) == 3


def test_pushback_in_the_trailers_beats_the_details_and_a_negative_one_forbids_retries(
    worker: FakeWorker, ask: Ask
) -> None:
    busy = refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),), pushback="-1")
    worker.script = [busy]
    with pytest.raises(Overloaded) as caught:
        ask(Settings(worker.target), "sentiment", ["gut"])
    assert caught.value.retry_after is None
    assert len(worker.calls) == 1


def test_a_wait_that_passes_the_deadline_is_not_begun(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [
        refuse(CODE.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(900),), pushback="900000")
    ]
    with pytest.raises(Overloaded) as caught:
        ask(Settings(worker.target), "sentiment", ["gut"], timeout=5)
    assert caught.value.retry_after == 900
    assert len(worker.calls) == 1


def test_every_call_has_a_deadline(worker: FakeWorker, ask: Ask) -> None:
    ask(Settings(worker.target, timeout=30), "sentiment", ["gut"])
    ask(Settings(worker.target), "sentiment", ["gut"], timeout=7)
    ask(Settings(worker.target, stream_timeout=50), "find_paraphrases", ["a"], best=1)
    remaining = [call.remaining or 0 for call in worker.calls]
    assert [left <= limit + 1 for left, limit in zip(remaining, [30, 7, 50], strict=True)] == [True] * 3
    assert all(left > 0 for left in remaining)


def test_a_worker_that_does_not_answer_in_time(worker: FakeWorker, ask: Ask) -> None:
    released = threading.Event()
    worker.script = [hang(threading.Event(), released)]
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            ask(Settings(worker.target), "sentiment", ["gut"], timeout=0.2)
    finally:
        released.set()
    assert worker.target in caught.value.message


def test_details_that_do_not_parse_do_not_hide_the_error(worker: FakeWorker, ask: Ask) -> None:
    def garbage(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(CODE.INTERNAL, "broken")

    worker.script = [garbage]
    with pytest.raises(ServerFailed, match="broken"):
        ask(Settings(worker.target), "sentiment", ["gut"])


def test_after_a_failed_request_the_rest_of_the_list_is_not_sent(worker: FakeWorker, ask: Ask) -> None:
    worker.script = [refuse(CODE.INTERNAL, "MODEL_FAILED")]
    with pytest.raises(ServerFailed):
        ask(Settings(worker.target, chunk_texts=1, in_flight=2), "sentiment", ["gut"] * 50)
    assert len(worker.calls) <= 4


def test_a_closed_client_says_so(worker: FakeWorker) -> None:
    client = Client(worker.target)
    client.close()
    with pytest.raises(CallCancelled, match="closed"):
        client.sentiment(["gut"])


def test_closing_ends_a_call_in_another_thread_with_an_error_of_ours(worker: FakeWorker) -> None:
    arrived, released = threading.Event(), threading.Event()
    worker.script = [hang(arrived, released)]
    client = Client(worker.target)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.sentiment(["gut"])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert arrived.wait(30)
    client.close()
    released.set()
    thread.join(30)
    assert [type(error) for error in caught] == [CallCancelled]


def test_cancelling_a_task_is_not_turned_into_an_error(worker: FakeWorker) -> None:
    arrived, released = threading.Event(), threading.Event()
    worker.script = [hang(arrived, released)]

    async def run() -> None:
        async with AsyncClient(worker.target) as client:
            task = asyncio.create_task(client.sentiment(["gut"]))
            await asyncio.to_thread(arrived.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    try:
        asyncio.run(run())
    finally:
        released.set()
