"""Deadlines, concurrent requests, closing and cancelling, in both transports."""

import asyncio
import threading
import time
from typing import Any

import grpc
import pytest

from qda_worker.client import (
    AsyncClient,
    CallCancelled,
    Client,
    ServerFailed,
    Settings,
)
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import hang, refuse, retry_info


def test_after_a_failed_request_the_rest_of_the_list_is_not_sent(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [refuse(grpc.StatusCode.INTERNAL, "MODEL_FAILED")]
    with pytest.raises(ServerFailed):
        invoke(Settings(worker.target, chunk_texts=1, in_flight=2), "sentiment", ["gut"] * 50)
    assert len(worker.calls) <= 4


def test_every_call_has_a_deadline(worker: FakeWorker, invoke: Invoke) -> None:
    invoke(Settings(worker.target, timeout=30), "sentiment", ["gut"])
    invoke(Settings(worker.target), "sentiment", ["gut"], timeout=7)
    invoke(Settings(worker.target, stream_timeout=50), "find_paraphrases", ["a"], best=1)
    remaining = [call.remaining or 0 for call in worker.calls]
    assert [left <= limit + 1 for left, limit in zip(remaining, [30, 7, 50], strict=True)] == [True] * 3
    assert all(left > 0 for left in remaining)


def test_a_closed_client_raises_call_cancelled(worker: FakeWorker) -> None:
    client = Client(worker.target)
    client.close()
    with pytest.raises(CallCancelled, match="closed"):
        client.sentiment(["gut"])


def test_closing_cancels_a_call_in_another_thread(worker: FakeWorker) -> None:
    arrived, released = threading.Event(), threading.Event()
    worker.faults = [hang(arrived, released)]
    client = Client(worker.target)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.sentiment(["gut"])
        except BaseException as error:  # noqa: BLE001 - of any type: the test checks it
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert arrived.wait(30)
    client.close()
    released.set()
    thread.join(30)
    assert [type(error) for error in caught] == [CallCancelled]


def test_closing_ends_the_wait_for_a_retry_in_another_thread(worker: FakeWorker) -> None:
    worker.faults = [refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(100),))]
    client = Client(worker.target)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.sentiment(["gut"], timeout=200)
        except BaseException as error:  # noqa: BLE001 - of any type: the test checks it
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    for _ in range(300):
        if worker.calls:
            break
        time.sleep(0.1)
    client.close()
    thread.join(30)
    assert [type(error) for error in caught] == [CallCancelled]


def test_a_refused_request_is_sent_again_while_an_earlier_one_waits(
    worker: FakeWorker, invoke: Invoke
) -> None:
    """The first request is answered only after the other one was, which is refused at first."""
    answered = threading.Event()
    refusals = iter([True, False])

    def by_content(request: Any, context: grpc.ServicerContext) -> None:
        if request.texts[0].content == "first":
            assert answered.wait(30)
        elif next(refusals):
            refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", details=(retry_info(0.01),))(context)
        else:
            answered.set()

    worker.on_request = by_content
    settings = Settings(worker.target, chunk_texts=1, in_flight=2)
    answer = invoke(settings, "sentiment", ["first", "refused"], timeout=20)
    assert [result.ok for result in answer] == [True, True]


def test_later_answers_are_delivered_if_an_earlier_request_fails(worker: FakeWorker, invoke: Invoke) -> None:
    later = threading.Event()

    def by_content(request: Any, context: grpc.ServicerContext) -> None:
        if request.texts[0].content == "first":
            later.wait(30)
            time.sleep(0.5)  # the answer to the later request must have arrived
            refuse(grpc.StatusCode.INTERNAL, "MODEL_FAILED")(context)
        context.add_callback(later.set)

    worker.on_request = by_content
    parts: list[tuple[int, int]] = []
    with pytest.raises(ServerFailed) as caught:
        invoke(
            Settings(worker.target, chunk_texts=2, in_flight=2),
            "sentiment",
            ["first", "first", "later", "later"],
            on_results=lambda start, part: parts.append((start, len(part))),
        )
    assert parts == [(2, 2)]
    assert caught.value.partial is None


def test_cancelling_a_task_raises_cancelled_error(worker: FakeWorker) -> None:
    arrived, released = threading.Event(), threading.Event()
    worker.faults = [hang(arrived, released)]

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


def test_an_error_has_the_results_of_the_requests_before_it(worker: FakeWorker, invoke: Invoke) -> None:
    worker.faults = [lambda _: None, lambda _: None, refuse(grpc.StatusCode.INTERNAL, "INTERNAL")]
    settings = Settings(worker.target, chunk_texts=10, in_flight=1)
    with pytest.raises(ServerFailed) as caught:
        invoke(settings, "sentiment", ["gut :)"] * 25 + ["nun"] * 25)
    partial = caught.value.partial
    assert partial is not None
    assert [result.label for result in partial] == ["positive"] * 20
