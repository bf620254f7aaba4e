"""Waiting for a worker that loads, restarts or fails, within the deadline of the call; and what is logged."""

import logging
import threading
from collections.abc import Iterator
from typing import Final

import grpc
import pytest

from qda_worker.client import (
    CallCancelled,
    Client,
    DeadlineExceeded,
    NotReachable,
    NotReady,
    Overloaded,
    SentimentTask,
    Settings,
    TlsFailed,
    retry,
)
from qda_worker.client.retry import RetryBudget, StreamRetry, WorkerAvailability
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse

LOADING: Final = NotReady("the model is being loaded")
GONE: Final = NotReachable("connection refused", target="here")

# Timeout in seconds of calls that wait for a worker to restart.
RESTART_TIMEOUT: Final = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def seconds_until_given_up(budget: RetryBudget, clock: Clock, failure: NotReady | NotReachable) -> float:
    """Return how long a call is retried if each attempt fails at once with this failure."""
    began = clock.now
    while True:
        budget.start_attempt()
        delay = budget.next_delay(failure)
        if delay is None:
            return clock.now - began
        clock.now += delay


@pytest.fixture
def successor(worker: FakeWorker) -> Iterator[FakeWorker]:
    """Return a second worker, for `restart` to start at the address of `worker`."""
    again = FakeWorker(name="again")
    yield again
    again.stop()


def restart(worker: FakeWorker, successor: FakeWorker, after: float) -> threading.Thread:
    """Stop a worker and start its successor at the same address after some seconds."""
    worker.stop()
    thread = threading.Timer(after, lambda: successor.start(address=worker.target))
    thread.start()
    return thread


def test_a_call_waits_for_a_loading_worker_until_its_deadline() -> None:
    clock = Clock()
    assert (
        110
        < seconds_until_given_up(
            RetryBudget(WorkerAvailability("here", clock), 120, clock=clock), clock, LOADING
        )
        < 120
    )


def test_an_unreachable_worker_is_waited_for_only_if_it_has_answered_before() -> None:
    clock = Clock()
    availability = WorkerAvailability("here", clock)
    assert seconds_until_given_up(RetryBudget(availability, 120, clock=clock), clock, GONE) == 0
    availability.record_success()
    assert 110 < seconds_until_given_up(RetryBudget(availability, 120, clock=clock), clock, GONE) < 120
    assert (
        RetryBudget(availability, 120, clock=clock).next_delay(TlsFailed("not signed", target="here")) is None
    )


def test_a_permanent_problem_is_not_waited_for() -> None:
    budget = RetryBudget(WorkerAvailability("here"), 120)
    budget.start_attempt()
    assert budget.next_delay(NotReady("the model does not load", lasting=True)) is None


def test_the_delay_is_the_one_that_the_worker_requests() -> None:
    assert retry.retry_delay(NotReady("loading", retry_after=7.0), 1, 60, has_answered=True) == 7.0
    assert retry.retry_delay(NotReady("loading", retry_after=7.0), 1, 6, has_answered=True) is None


def test_a_search_that_breaks_in_mid_response_is_repeated_at_most_twice() -> None:
    availability = WorkerAvailability("here")
    availability.record_success()
    budget = RetryBudget(availability, 3_600, 120)
    assert [budget.next_delay(GONE, mid_response=True) is None for _ in range(3)] == [False, False, True]


def test_a_stream_waits_for_its_worker_from_its_last_result_on() -> None:
    clock = Clock()
    availability = WorkerAvailability("here", clock)
    availability.record_success()
    stream_retry = StreamRetry(availability, 60, clock)
    for _ in range(3):
        began = clock.now
        assert stream_retry.next_delay(GONE, made_progress=True) is not None
        while (delay := stream_retry.next_delay(GONE, made_progress=False)) is not None:
            clock.now += delay
        assert 50 < clock.now - began < 60


def test_a_short_last_attempt_does_not_hide_the_cause() -> None:
    clock = Clock()
    budget = RetryBudget(WorkerAvailability("here", clock), 10, clock=clock)
    budget.start_attempt()
    budget.next_delay(LOADING)
    clock.now += 8
    budget.start_attempt()
    late = DeadlineExceeded("no answer in time")
    assert budget.next_delay(late) is None
    assert budget.final_error(late) is LOADING


def test_a_worker_that_is_too_slow_after_the_wait_is_reported_as_such() -> None:
    clock = Clock()
    budget = RetryBudget(WorkerAvailability("here", clock), 100, clock=clock)
    budget.start_attempt()
    budget.next_delay(LOADING)
    budget.start_attempt()
    late = DeadlineExceeded("no answer in time")
    assert budget.final_error(late) is late


def test_waiting_is_logged_once_for_all_calls_every_30_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    availability = WorkerAvailability("here:1", clock)
    calls = [RetryBudget(availability, 100, clock=clock) for _ in range(4)]
    with caplog.at_level(logging.INFO, "qda_worker.client"):
        for _ in range(40):
            for each in calls:
                each.start_attempt()
                each.next_delay(LOADING)
            clock.now += 1
        availability.record_success()
        availability.record_success()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "here:1: NOT_READY: the model is being loaded" in caplog.text


def test_an_overloaded_worker_without_retry_info_is_not_retried() -> None:
    assert retry.retry_delay(Overloaded("full"), 1, 60, has_answered=True) is None


@pytest.mark.parametrize("method", ["sentiment", "embed", "find_paraphrases", "analyze", "embed_stream"])
def test_a_loading_worker_is_retried_until_it_answers(
    worker: FakeWorker, invoke: Invoke, method: str
) -> None:
    worker.faults = [refuse(grpc.StatusCode.UNAVAILABLE, "NOT_READY", "loading")] * 3
    more = {"find_paraphrases": {"best": 1}}.get(method, {})
    arguments = [["gut", "nun"], *([[SentimentTask()]] if method == "analyze" else [])]
    answer = invoke(Settings(worker.target), method, *arguments, **more)
    assert answer.pairs if method == "find_paraphrases" else all(each.ok for each in answer)
    assert len(worker.calls) == 4


def test_an_error_that_forbids_retries_is_raised_at_once(worker: FakeWorker, invoke: Invoke) -> None:
    broken = refuse(grpc.StatusCode.UNAVAILABLE, "NOT_READY", "it does not load", pushback="-1")
    worker.faults = [broken] * 9
    with pytest.raises(NotReady, match="it does not load"):
        invoke(Settings(worker.target), "sentiment", ["gut"])
    assert len(worker.calls) == 1


def test_a_client_waits_for_a_worker_that_restarts(
    client: Client, worker: FakeWorker, successor: FakeWorker
) -> None:
    assert client.sentiment(["gut"])[0].ok
    starting = restart(worker, successor, 2.0)
    try:
        assert client.sentiment(["gut"], timeout=RESTART_TIMEOUT).provenance.worker_version == "again"
    finally:
        starting.join()


def test_a_stream_continues_when_its_only_worker_has_restarted(
    client: Client, worker: FakeWorker, successor: FakeWorker
) -> None:
    results = client.analyze((f"gut {number}" for number in range(50)), [SentimentTask()])
    assert [next(results).index for _ in range(10)] == list(range(10))
    starting = restart(worker, successor, 1.0)
    try:
        assert [result.index for result in results] == list(range(10, 50))
    finally:
        starting.join()


def test_closing_the_client_ends_its_waiting(client: Client, worker: FakeWorker) -> None:
    assert client.sentiment(["gut"])[0].ok
    worker.stop()
    threading.Timer(1.0, client.close).start()
    with pytest.raises(CallCancelled):
        client.sentiment(["gut"], timeout=RESTART_TIMEOUT)
