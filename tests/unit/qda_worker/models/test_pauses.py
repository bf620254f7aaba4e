"""A thread decides what happens at the pause points of its own computations."""

import threading
from contextlib import suppress

import pytest

from qda_worker.models.pauses import BatchAbandoned, pause_point, pausing


def test_a_pause_point_calls_the_innermost_callback() -> None:
    calls = list[str]()
    pause_point()
    with pausing(lambda: calls.append("outer")):
        pause_point()
        with pausing(lambda: calls.append("inner")):
            pause_point()
        pause_point()
    pause_point()
    assert calls == ["outer", "inner", "outer"]


def test_the_callback_of_one_thread_is_not_called_in_another() -> None:
    calls = list[str]()
    with pausing(lambda: calls.append("mine")):
        thread = threading.Thread(target=pause_point)
        thread.start()
        thread.join()
    assert calls == []


def test_giving_up_leaves_the_computation_and_restores_the_callback() -> None:
    def give_up() -> None:
        raise BatchAbandoned

    def compute() -> None:
        with suppress(Exception):  # as libraries do
            pause_point()

    with pytest.raises(BatchAbandoned), pausing(give_up):
        compute()
    pause_point()
