"""Loads run side by side, and a measurement with no load and no other measurement beside it; none waits for ever."""

import threading
from queue import SimpleQueue

import pytest

from qda_worker.scheduling.load_turns import LoadTurns
from qda_worker.scheduling.turns import ComputeTurns
from tests.support.queue_harness import WAIT


class Load:
    """A load in a thread of its own, which does one step at a time when the test says so."""

    def __init__(self, turns: LoadTurns, order: "SimpleQueue[Load] | None" = None) -> None:
        self._turns = turns
        self._order = order  # in which loads come to their measurement
        self._may_go_on = threading.Semaphore(0)
        self.loading, self.measuring, self.measured, self.done = (threading.Event() for _ in range(4))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._turns.loading():
            self.loading.set()
            assert self._may_go_on.acquire(timeout=WAIT)
            with self._turns.measuring():
                self.measuring.set()
                if self._order is not None:
                    self._order.put(self)
                assert self._may_go_on.acquire(timeout=WAIT)
            self.measured.set()
            assert self._may_go_on.acquire(timeout=WAIT)
        self.done.set()

    def go_on(self) -> None:
        self._may_go_on.release()


def happens(event: threading.Event) -> bool:
    return event.wait(WAIT)


def waits(event: threading.Event) -> bool:
    return not event.wait(0.05)


def test_a_measurement_waits_for_the_loads_and_measurements_of_others() -> None:
    turns = LoadTurns(ComputeTurns())
    order: SimpleQueue[Load] = SimpleQueue()
    first, second = Load(turns, order), Load(turns, order)
    assert happens(first.loading)
    assert happens(second.loading)
    first.go_on()
    assert waits(first.measuring)  # the second one loads
    second.go_on()
    one = order.get(timeout=WAIT)
    other = second if one is first else first
    third = Load(turns)
    assert waits(other.measuring)
    assert waits(third.loading)
    one.go_on()
    assert happens(one.measured)
    for load in (one, other, third):  # the rest, in whatever order it becomes due
        for _ in range(3):
            load.go_on()
    assert all(happens(load.done) for load in (one, other, third))


def test_a_load_and_a_measurement_go_on_after_their_patience() -> None:
    turns = LoadTurns(ComputeTurns(patience=0.01), patience=0.01)
    with turns.loading(), turns.measuring():
        load = Load(turns)
        assert happens(load.loading)
        load.go_on()
        assert happens(load.measuring)
        for _ in range(2):
            load.go_on()
        assert happens(load.done)


def test_a_load_that_fails_keeps_none_waiting() -> None:
    turns = LoadTurns(ComputeTurns())
    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"), turns.loading(), turns.measuring():
            raise ValueError("damaged")
    load = Load(turns)
    for _ in range(3):
        load.go_on()
    assert happens(load.done)


def test_a_measurement_holds_a_turn_at_the_processors_and_gives_it_to_interactive_work() -> None:
    compute_turns = ComputeTurns()
    turns = LoadTurns(compute_turns)
    computed = threading.Event()

    def compute() -> None:
        with compute_turns.turn(interactive=True):
            computed.set()

    with turns.loading(), turns.measuring() as turn:
        thread = threading.Thread(target=compute, daemon=True)
        thread.start()
        assert waits(computed)
        assert turn.give_way()
        assert computed.is_set()
    thread.join(WAIT)
