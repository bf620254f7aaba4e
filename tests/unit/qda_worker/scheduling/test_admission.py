"""Who is turned away at the door, when to come again, and that nobody is turned away who would have been served."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

import pytest

from qda_worker.errors import DeadlineTooShort, QueueFull
from qda_worker.models.base import Unit
from qda_worker.scheduling.jobs import Lane
from tests.support.echo_model import EchoModel
from tests.support.queue_bench import WAIT, Bench, results

# Eight of these make a batch.
TEN: Final = "x" * 10


class TimedModel(EchoModel):
    """Takes a second of the test's clock for each batch. After `batches_to_go` it closes its own gate."""

    bench: Bench
    batches_to_go = 0

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        found = super().compute(units)
        self.bench.now += 1.0
        self.batches_to_go -= 1
        if self.batches_to_go == 0:
            self.gate.clear()
        return found


@pytest.fixture
def timed(pool: Executor) -> Bench:
    model = TimedModel()
    model.bench = Bench(pool, model)
    return model.bench


@pytest.fixture
def measured(timed: Bench) -> Bench:
    """A queue that knows its pace: 8 texts a second. Its compute thread is held up, and one text waits in it."""
    timed.busy()
    first = timed.queue.submit([TEN] * 80)
    timed.settled()
    timed.model.gate.set()
    first.result(WAIT)
    timed.model.gate.clear()
    timed.queue.submit(["busy"], caller="somebody")
    assert timed.model.entered.acquire(timeout=WAIT)
    while timed.model.entered.acquire(blocking=False):
        pass
    return timed


@pytest.fixture(autouse=True)
def closed(timed: Bench) -> object:
    yield
    timed.model.gate.set()
    assert timed.queue.close(drain=False, timeout=WAIT)


def test_what_cannot_be_done_in_time_is_refused_at_once(measured: Bench) -> None:
    """160 texts would take 20 s. They are refused only if twice the pace would not do either."""
    with pytest.raises(
        DeadlineTooShort, match=r"answered in about 20\.\d s, and the deadline is in 5\.0 s"
    ) as caught:
        measured.queue.submit([TEN] * 160, deadline=measured.now + 5)
    assert 20 <= caught.value.retry_after <= 20.2 * 1.25
    assert measured.heard.refused == [("DEADLINE_TOO_SHORT", 160)]


def test_what_might_be_done_in_time_is_taken_in(measured: Bench) -> None:
    measured.queue.submit([TEN] * 150, deadline=measured.now + 11)  # is not refused


def test_what_waits_before_it_counts(measured: Bench) -> None:
    measured.queue.submit([TEN] * 80)
    measured.queue.submit([TEN] * 8, deadline=measured.now + 6)  # is not refused
    with pytest.raises(DeadlineTooShort):
        measured.queue.submit([TEN] * 8, deadline=measured.now + 4)


def test_what_others_have_waiting_counts_only_as_much_as_ones_own(measured: Bench) -> None:
    """Callers share the time: 16 texts of one beside 120 of another are done after 32."""
    measured.queue.submit([TEN] * 120, caller="greedy")
    measured.queue.submit([TEN] * 16, caller="modest", deadline=measured.now + 2.1)  # is not refused
    with pytest.raises(DeadlineTooShort):
        measured.queue.submit([TEN] * 16, caller="another", deadline=measured.now + 1.5)


def test_bulk_work_does_not_count_for_interactive_work(measured: Bench) -> None:
    measured.queue.submit([TEN] * 120, lane=Lane.BULK)
    measured.queue.submit([TEN] * 8, deadline=measured.now + 0.6)  # is not refused


def test_without_a_measurement_nothing_is_refused_for_its_deadline(timed: Bench) -> None:
    timed.busy()
    timed.queue.submit([TEN] * 99, caller="somebody")
    future = timed.queue.submit([TEN] * 99, deadline=timed.now + 0.001)
    timed.model.gate.set()
    with pytest.raises(DeadlineTooShort, match=r"texts (waited|were tokenised)"):
        future.result(WAIT)


def test_texts_computed_alone_are_no_measure(timed: Bench) -> None:
    """One text a second says nothing of how many go into a batch."""
    for _ in range(5):
        timed.queue.submit([TEN]).result(WAIT)
    assert timed.queue.submit([TEN] * 160, deadline=timed.now + 21).result(WAIT)


def test_a_full_queue_says_when_there_will_be_room(measured: Bench) -> None:
    """Of 160 texts 80 must go first: that is half of 20 s."""
    measured.queue.submit([TEN] * 159, caller="greedy")
    with pytest.raises(QueueFull) as caught:
        measured.queue.submit([TEN] * 120, caller="late")
    assert 9.5 <= caught.value.retry_after <= 10.5 * 1.25


def test_what_came_before_any_measurement_is_waited_for_too(timed: Bench) -> None:
    """Else five refused calls would use up their tries within a second: the first load after a start."""
    timed.busy()
    timed.queue.submit([TEN] * 159, caller="greedy")
    timed.settled()
    assert isinstance(timed.model, TimedModel)
    timed.model.batches_to_go = 3  # the one that is under way, and two that are full and so are measured
    timed.model.gate.set()
    for _ in range(3):
        assert timed.model.entered.acquire(timeout=WAIT)
    timed.settled()
    with pytest.raises(QueueFull, match="143 texts wait") as caught:
        timed.queue.submit([TEN] * 120, caller="late")
    assert 7.8 <= caught.value.retry_after <= 8.0 * 1.25, "63 of them must go first, eight a second"


def test_without_a_measurement_the_advice_is_some_seconds_and_scattered(timed: Bench) -> None:
    timed.busy()
    timed.queue.submit([TEN] * 159, caller="greedy")
    told = set()
    for _ in range(20):
        with pytest.raises(QueueFull) as caught:
            timed.queue.submit([TEN] * 120, caller="late")
        told.add(caught.value.retry_after)
    assert len(told) > 1
    assert all(2.0 <= seconds <= 2.5 for seconds in told)


def test_one_caller_cannot_fill_the_queue(measured: Bench) -> None:
    measured.queue.submit([TEN] * 150, caller="greedy")
    with pytest.raises(QueueFull, match="150 texts of this caller wait, 20 more would exceed its 160"):
        measured.queue.submit([TEN] * 20, caller="greedy")
    waiting = measured.queue.submit([TEN] * 20, caller="modest")
    measured.model.gate.set()
    assert len(results(waiting.result(WAIT))) == 20


# Three of these fit beside a short text: 100,000 bytes may wait.
LONG: Final = "x" * 30_000


def test_texts_that_would_take_more_memory_than_may_wait_are_refused_with_a_wait(bench: Bench) -> None:
    bench.busy()
    bench.queue.submit([LONG] * 2, caller="a")
    with pytest.raises(
        QueueFull, match=r"60\d+ bytes of text wait, 60\d+ more would exceed 100000"
    ) as caught:
        bench.queue.submit([LONG] * 2, caller="b")
    assert caught.value.retry_after > 0
    assert bench.heard.refused == [("QUEUE_FULL", 2)]
    bench.queue.submit([LONG], caller="b")  # is not refused


def test_characters_that_take_more_memory_count_for_more(bench: Bench) -> None:
    bench.busy()
    with pytest.raises(QueueFull, match="bytes of text"):
        bench.queue.submit([LONG + "🙂"], caller="b")


def test_one_caller_cannot_fill_the_queue_with_bytes_either(bench: Bench) -> None:
    bench.busy()
    bench.queue.submit([LONG] * 2, caller="greedy")
    with pytest.raises(
        QueueFull, match="bytes of text of this caller wait, 30049 more would exceed its 80000"
    ):
        bench.queue.submit([LONG], caller="greedy")
    bench.queue.submit([LONG], caller="modest")  # is not refused


def test_a_call_that_finds_an_empty_queue_is_let_in_whatever_its_size(bench: Bench) -> None:
    assert bench.queue.submit([LONG] * 9).result(WAIT)


def test_room_is_made_when_a_job_is_answered_cancelled_or_late(bench: Bench) -> None:
    for round_ in range(3):
        bench.busy()
        waiting = bench.queue.submit([LONG] * 3, caller="a", deadline=bench.now + 5)
        if round_ == 0:
            bench.model.gate.set()
            waiting.result(WAIT)
        elif round_ == 1:
            assert waiting.cancel()
        else:
            bench.now += 6
            bench.model.gate.set()
            with pytest.raises(DeadlineTooShort):
                waiting.result(WAIT)
        bench.queue.submit([LONG] * 3, caller="b")  # is not refused
        bench.model.gate.set()
        while bench.queue.waiting:
            bench.settled()
