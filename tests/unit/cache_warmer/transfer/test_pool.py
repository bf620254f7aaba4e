"""The thread pool: order of results, number of threads, and the first failure."""

import threading
import time
from functools import partial

import pytest

from cache_warmer.errors import HubNotFound, Interrupted
from cache_warmer.transfer.pool import Stop, run_all


class SecondSignalError(BaseException):
    """Stands for a signal that arrives while the run waits for its threads."""


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


def test_the_run_is_not_over_before_the_last_thread_has_published() -> None:
    """Signals, also a second one, stop the run; the lease around it is held until the thread is done."""
    stop, inside, go_on, events = Stop(), threading.Event(), threading.Event(), list[str]()

    def publish() -> None:
        with stop.publishing():
            inside.set()
            go_on.wait(30)
            events.append("published")

    class Impatient(threading.Condition):
        """A condition whose first wait is interrupted by a signal."""

        def wait(self, timeout: float | None = None) -> bool:
            if not go_on.is_set():
                go_on.set()
                raise SecondSignalError
            return super().wait(timeout)

    stop._gate = Impatient()
    thread = threading.Thread(target=publish)
    thread.start()
    assert inside.wait(30)

    with pytest.raises(SecondSignalError), stop.drained():
        raise KeyboardInterrupt
    events.append("over")
    thread.join(30)

    assert events == ["published", "over"]
    with pytest.raises(Interrupted), stop.publishing():
        events.append("late")
