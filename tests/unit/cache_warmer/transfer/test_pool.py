"""The thread pool: order of results, number of threads, and the first failure."""

import threading
import time
from functools import partial

import pytest

from cache_warmer.errors import HubNotFound, Interrupted
from cache_warmer.transfer.pool import Stop, run_all


def test_results_come_in_the_order_of_the_tasks() -> None:
    def task(number: int) -> int:
        time.sleep(0.01 * (3 - number))
        return number

    assert run_all([partial(task, number) for number in range(4)], 4, Stop()) == [0, 1, 2, 3]


def test_no_more_tasks_run_at_once_than_allowed() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def task() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.005)
        with lock:
            running[0] -= 1

    run_all([task] * 12, 3, Stop())
    assert most[0] == 3


def test_the_first_failure_stops_the_others_and_is_raised() -> None:
    stop = Stop()

    def fail() -> None:
        raise HubNotFound("gone", "look")

    with pytest.raises(HubNotFound):
        run_all([fail, lambda: stop.sleep(60), lambda: stop.sleep(60)], 3, stop)
    with pytest.raises(Interrupted):
        stop.check()
