"""The limit of concurrent calls, and the share of one caller."""

from contextlib import ExitStack

import pytest

from qda_worker.access.concurrent_calls import ConcurrentCalls
from qda_worker.errors import CallerLimited, TooManyCalls


def test_one_caller_gets_four_fifths_and_another_the_rest() -> None:
    limit = ConcurrentCalls(10)
    with ExitStack() as calls:
        for _ in range(8):
            calls.enter_context(limit.count("alice"))
        with pytest.raises(TooManyCalls, match="8 calls of this caller"):
            calls.enter_context(limit.count("alice"))
        for _ in range(2):
            calls.enter_context(limit.count("bob"))
        with pytest.raises(TooManyCalls, match="10 calls are in progress"):
            calls.enter_context(limit.count("carol"))
    with ExitStack() as calls:
        for _ in range(8):
            calls.enter_context(limit.count("alice"))


def test_a_limit_of_one_caller_refuses_that_caller_only() -> None:
    limit = ConcurrentCalls(10, 2)
    with ExitStack() as calls:
        for caller in ("alice", "bob", "alice"):
            calls.enter_context(limit.count(caller))
        with pytest.raises(CallerLimited, match="2 calls of this caller are in progress") as caught:
            calls.enter_context(limit.count("alice"))
        assert caught.value.retry_after > 0
        calls.enter_context(limit.count("bob"))


@pytest.mark.parametrize("max_calls", [1, 2, 3])
def test_a_small_limit_is_one_callers_alone(max_calls: int) -> None:
    limit = ConcurrentCalls(max_calls)
    with ExitStack() as calls:
        for _ in range(max_calls):
            calls.enter_context(limit.count("alice"))


def test_a_call_that_fails_is_not_counted_any_more() -> None:
    limit = ConcurrentCalls(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limit.count("alice"):
            raise ZeroDivisionError
