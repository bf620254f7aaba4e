"""A worker that loads, restarts or ends in the midst is waited for, within the time of the call, and that is said."""

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
from tests.client import test_cli
from tests.client.conftest import Ask
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse

LOADING: Final = NotReady("the model is being loaded")
GONE: Final = NotReachable("connection refused", target="here")
PATIENCE: Final = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def waited(tries: RetryBudget, clock: Clock, failure: NotReady | NotReachable) -> float:
    """How long a call goes on over this failure, if each try fails at once."""
    began = clock.now
    while True:
        tries.begin()
        pause = tries.pause(failure)
        if pause is None:
            return clock.now - began
        clock.now += pause


@pytest.fixture
def restarted(worker: FakeWorker) -> Iterator[FakeWorker]:
    """Comes up at the address of `worker`, half a second after that was stopped by the test."""
    again = FakeWorker(name="again")
    yield again
    again.stop()


def come_back(worker: FakeWorker, again: FakeWorker, after: float) -> threading.Thread:
    worker.stop()
    thread = threading.Timer(after, lambda: again.start(address=worker.target))
    thread.start()
    return thread


def test_a_loading_worker_is_waited_for_as_long_as_the_call_may_take() -> None:
    clock = Clock()
    assert (
        110 < waited(RetryBudget(WorkerAvailability("here", clock), 120, clock=clock), clock, LOADING) < 120
    )


def test_nobody_at_a_target_that_never_answered_is_given_up_and_a_worker_that_was_there_is_waited_for() -> (
    None
):
    clock = Clock()
    contact = WorkerAvailability("here", clock)
    assert waited(RetryBudget(contact, 120, clock=clock), clock, GONE) == 0
    contact.answered()
    assert 110 < waited(RetryBudget(contact, 120, clock=clock), clock, GONE) < 120
    assert RetryBudget(contact, 120, clock=clock).pause(TlsFailed("not signed", target="here")) is None


def test_a_worker_that_waiting_does_not_help_is_not_waited_for() -> None:
    tries = RetryBudget(WorkerAvailability("here"), 120)
    tries.begin()
    assert tries.pause(NotReady("the model does not load", lasting=True)) is None


def test_the_wait_that_a_worker_asks_for_is_kept() -> None:
    assert retry.retry_pause(NotReady("loading", retry_after=7.0), 1, 60, met=True) == 7.0
    assert retry.retry_pause(NotReady("loading", retry_after=7.0), 1, 6, met=True) is None


def test_a_search_that_breaks_in_its_midst_is_begun_anew_twice_at_most() -> None:
    contact = WorkerAvailability("here")
    contact.answered()
    tries = RetryBudget(contact, 3_600, 120)
    assert [tries.pause(GONE, answering=True) is None for _ in range(3)] == [False, False, True]


def test_a_stream_waits_for_its_worker_from_its_last_result_on() -> None:
    clock = Clock()
    contact = WorkerAvailability("here", clock)
    contact.answered()
    resuming = StreamRetry(contact, 60, clock)
    for _ in range(3):
        began = clock.now
        assert resuming.pause(GONE, fruitful=True) is not None
        while (pause := resuming.pause(GONE, fruitful=False)) is not None:
            clock.now += pause
        assert 50 < clock.now - began < 60


def test_a_last_try_without_time_does_not_hide_what_was_waited_for() -> None:
    clock = Clock()
    tries = RetryBudget(WorkerAvailability("here", clock), 10, clock=clock)
    tries.begin()
    tries.pause(LOADING)
    clock.now += 8
    tries.begin()
    late = DeadlineExceeded("no answer in time")
    assert tries.pause(late) is None
    assert tries.outcome(late) is LOADING


def test_a_worker_that_answers_too_slowly_after_the_wait_is_told_as_such() -> None:
    clock = Clock()
    tries = RetryBudget(WorkerAvailability("here", clock), 100, clock=clock)
    tries.begin()
    tries.pause(LOADING)
    tries.begin()
    late = DeadlineExceeded("no answer in time")
    assert tries.outcome(late) is late


def test_waiting_is_told_once_for_all_calls_and_again_each_half_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    contact = WorkerAvailability("here:1", clock)
    calls = [RetryBudget(contact, 100, clock=clock) for _ in range(4)]
    with caplog.at_level(logging.INFO, "qda_worker.client"):
        for _ in range(40):
            for each in calls:
                each.begin()
                each.pause(LOADING)
            clock.now += 1
        contact.answered()
        contact.answered()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "here:1: NOT_READY: the model is being loaded" in caplog.text


def test_an_overloaded_worker_that_names_no_time_is_not_tried_again() -> None:
    assert retry.retry_pause(Overloaded("full"), 1, 60, met=True) is None


@pytest.mark.parametrize("method", ["sentiment", "embed", "find_paraphrases", "analyze", "embed_stream"])
def test_a_worker_that_loads_is_tried_until_it_answers(worker: FakeWorker, ask: Ask, method: str) -> None:
    worker.script = [refuse(grpc.StatusCode.UNAVAILABLE, "NOT_READY", "loading")] * 3
    more = {"find_paraphrases": {"best": 1}}.get(method, {})
    arguments = [["gut", "nun"], *([[SentimentTask()]] if method == "analyze" else [])]
    answer = ask(Settings(worker.target), method, *arguments, **more)
    assert answer.pairs if method == "find_paraphrases" else all(each.ok for each in answer)
    assert len(worker.calls) == 4


def test_a_refusal_that_forbids_retries_is_told_at_once(worker: FakeWorker, ask: Ask) -> None:
    broken = refuse(grpc.StatusCode.UNAVAILABLE, "NOT_READY", "it does not load", pushback="-1")
    worker.script = [broken] * 9
    with pytest.raises(NotReady, match="it does not load"):
        ask(Settings(worker.target), "sentiment", ["gut"])
    assert len(worker.calls) == 1


def test_a_client_waits_for_the_worker_that_restarts(
    client: Client, worker: FakeWorker, restarted: FakeWorker
) -> None:
    assert client.sentiment(["gut"])[0].ok
    coming = come_back(worker, restarted, 2.0)
    try:
        assert client.sentiment(["gut"], timeout=PATIENCE).provenance.worker_version == "again"
    finally:
        coming.join()


def test_a_stream_goes_on_when_its_only_worker_has_come_back(
    client: Client, worker: FakeWorker, restarted: FakeWorker
) -> None:
    results = client.analyze((f"gut {number}" for number in range(50)), [SentimentTask()])
    assert [next(results).index for _ in range(10)] == list(range(10))
    coming = come_back(worker, restarted, 1.0)
    try:
        assert [result.index for result in results] == list(range(10, 50))
    finally:
        coming.join()


def test_a_search_whose_worker_ends_in_the_midst_of_its_pairs_begins_anew(
    worker: FakeWorker, ask: Ask
) -> None:
    """Each broken try brings one pair; they must not stand among those of the try that ends well."""
    worker.stream_breaks = [1, 1]
    found = ask(Settings(worker.target), "find_paraphrases", ["ab", "cd", "ef"], threshold=0.5)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert len(worker.calls) == 3


def test_a_search_that_always_breaks_is_given_up_without_any_pair(worker: FakeWorker, ask: Ask) -> None:
    worker.stream_breaks = [1] * 9
    with pytest.raises(NotReady) as caught:
        ask(Settings(worker.target), "find_paraphrases", ["ab", "cd", "ef"], threshold=0.5)
    assert caught.value.partial is None
    assert len(worker.calls) == 3


def test_closing_the_client_ends_its_waiting(client: Client, worker: FakeWorker) -> None:
    assert client.sentiment(["gut"])[0].ok
    worker.stop()
    threading.Timer(1.0, client.close).start()
    with pytest.raises(CallCancelled):
        client.sentiment(["gut"], timeout=PATIENCE)


@pytest.mark.parametrize("quiet", [False, True])
def test_the_shell_client_says_what_it_waits_for_and_ends_when_the_time_is_up(
    worker: FakeWorker, quiet: bool
) -> None:
    worker.script = [refuse(grpc.StatusCode.UNAVAILABLE, "NOT_READY", "german-ner waits for its cache")] * 99
    more = ["--quiet"] if quiet else []
    answer = test_cli.ask(worker, "sentiment", "--timeout", "3", *more, stdin=b"gut")
    assert answer.returncode == 61
    lines = answer.stderr.decode().splitlines()
    assert lines[-1].startswith("qda-client: NOT_READY: german-ner waits for its cache. Remedy:")
    assert len(lines[:-1]) == (0 if quiet else 1)
    for note in lines[:-1]:
        assert note.startswith("qda-client: waiting up to ")
        assert note.endswith(f"worker at {worker.target}: NOT_READY: german-ner waits for its cache")
