"""Computations that share the CPUs take turns: one at a time, interactive ones first, and none waits for ever."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

import pytest

from qda_worker.models.base import Unit
from qda_worker.models.pauses import pause_point
from qda_worker.scheduling.jobs import Lane
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.scheduling.turns import SLICE_SECONDS, ComputeTurn, ComputeTurns
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Work in a thread of its own, which waits for a turn and holds it until `finish`."""

    def __init__(
        self, turns: ComputeTurns, name: str, begun: list[str], *, interactive: bool = False
    ) -> None:
        self._finish = threading.Event()
        self.begun = threading.Event()
        self.beside = False

        def run() -> None:
            with turns.turn(interactive=interactive) as turn:
                begun.append(name)
                self.beside = turn.beside
                self.begun.set()
                assert self._finish.wait(WAIT)

        before = turns.waiting
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        wait_until(lambda: turns.waiting > before or self.begun.is_set())

    def finish(self) -> None:
        self._finish.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def give_way_in_thread(turn: ComputeTurn) -> tuple[threading.Thread, list[bool]]:
    """Call `give_way` in a thread, because it waits for the next turn."""
    returned: list[bool] = []
    thread = threading.Thread(target=lambda: returned.append(turn.give_way()), daemon=True)
    thread.start()
    return thread, returned


def test_one_at_a_time_in_the_order_of_arrival() -> None:
    turns, begun = ComputeTurns(patience=WAIT), list[str]()
    works = [Work(turns, name, begun) for name in ("a", "b", "c")]
    for number, work in enumerate(works):
        assert work.begun.wait(WAIT)
        assert begun == ["a", "b", "c"][: number + 1]
        work.finish()


def test_interactive_work_goes_first() -> None:
    turns, begun = ComputeTurns(patience=WAIT), list[str]()
    first = Work(turns, "first", begun)
    bulk, click = Work(turns, "bulk", begun), Work(turns, "click", begun, interactive=True)
    for work in (first, click, bulk):
        assert work.begun.wait(WAIT)
        work.finish()
    assert begun == ["first", "click", "bulk"]


def test_without_others_nobody_gives_way() -> None:
    clock = Clock()
    with ComputeTurns(clock=clock).turn(interactive=False) as turn:
        clock.now += 100 * SLICE_SECONDS
        assert not turn.give_way()


@pytest.mark.parametrize(
    ("holder", "other", "seconds", "gives_way"),
    [
        ("bulk", "interactive", 0.0, True),
        ("bulk", "bulk", 0.9 * SLICE_SECONDS, False),
        ("bulk", "bulk", 1.1 * SLICE_SECONDS, True),
        ("interactive", "interactive", 0.9 * SLICE_SECONDS, False),
        ("interactive", "interactive", 1.1 * SLICE_SECONDS, True),
        ("interactive", "bulk", 100.0, False),
    ],
)
def test_giving_way(holder: str, other: str, seconds: float, gives_way: bool) -> None:
    clock = Clock()
    turns, begun = ComputeTurns(patience=WAIT, clock=clock), list[str]()
    with turns.turn(interactive=holder == "interactive") as turn:
        work = Work(turns, "other", begun, interactive=other == "interactive")
        clock.now += seconds
        thread, returned = give_way_in_thread(turn)
        if gives_way:
            assert work.begun.wait(WAIT)
            assert not returned, "it waits for its next turn"
            work.finish()
        thread.join(WAIT)
        assert returned == [gives_way]
        assert begun == ["other"] * gives_way
    work.finish()


def test_patience_ends_beside_a_holder_that_does_not_give_way() -> None:
    turns, begun = ComputeTurns(patience=0.02), list[str]()
    with turns.turn(interactive=True) as hanging:
        works = [Work(turns, name, begun) for name in ("a", "b")]
        for work in works:
            assert work.begun.wait(WAIT)
            assert work.beside
            work.finish()
        assert not hanging.beside
    alone = Work(turns, "alone", begun)
    assert alone.begun.wait(WAIT)
    assert not alone.beside, "the turn was released once"
    alone.finish()


class _Layered(EchoModel):
    """A model with pause points, which notes how many models compute at once."""

    computing = 0
    most = 0
    lock: Final = threading.Lock()

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        outputs = super().compute(units)
        for _ in range(3):
            with self.lock:
                _Layered.computing += 1
                _Layered.most = max(_Layered.most, _Layered.computing)
            time.sleep(0.001)
            with self.lock:
                _Layered.computing -= 1
            pause_point()
        return outputs


def test_queues_that_share_turns_compute_one_at_a_time(pool: Executor) -> None:
    turns = ComputeTurns(patience=WAIT)
    queues = [ModelQueue(_Layered(), pool, turns=turns) for _ in range(3)]
    lanes = (Lane.INTERACTIVE, Lane.BULK)
    futures = [
        queue.submit([f"{number}"], lane=lanes[number % 2]) for number in range(20) for queue in queues
    ]
    assert all(len(future.result(WAIT)) == 1 for future in futures)
    assert _Layered.most == 1
    for queue in queues:
        assert queue.close(drain=True, timeout=WAIT)
