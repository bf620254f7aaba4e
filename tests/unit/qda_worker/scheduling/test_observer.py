"""What happens in a queue is told once, whoever counts it."""

import pytest

from qda_worker.errors import DeadlineTooShort, Draining, QueueFull
from tests.support.queue_bench import WAIT, Bench


def test_a_batch_is_told_with_what_its_padding_cost(bench: Bench) -> None:
    bench.busy()
    future = bench.queue.submit(["four", "eight888"])
    bench.settled()
    bench.now += 7
    bench.model.gate.set()
    future.result(WAIT)
    assert bench.heard.batches[1:] == [(2, 12, 16, 0.0)]
    assert bench.heard.queue_seconds == [0.0, 7.0, 7.0]


def test_a_cancelled_call_is_told_with_the_texts_that_were_left(bench: Bench) -> None:
    bench.busy()
    future = bench.queue.submit(["gone"] * 3)
    bench.settled()
    assert future.cancel()
    assert bench.heard.cancelled == [("CANCELLED_BY_CALLER", 3)]
    assert bench.heard.refused == []


def test_an_answered_call_is_neither_cancelled_nor_refused(bench: Bench) -> None:
    bench.queue.submit(["fine", "", "bad!"]).result(WAIT)
    assert (bench.heard.cancelled, bench.heard.refused) == ([], [])


def test_each_refusal_is_told_by_its_reason_and_its_texts(bench: Bench) -> None:
    bench.busy()
    late = bench.queue.submit(["late"] * 2, deadline=bench.now + 5)
    with pytest.raises(QueueFull):
        bench.queue.submit(["many"] * 300)
    bench.now += 10
    with pytest.raises(DeadlineTooShort):
        bench.queue.submit(["too late"], deadline=bench.now)
    bench.settled()
    bench.model.gate.set()
    with pytest.raises(DeadlineTooShort):
        late.result(WAIT)
    assert bench.heard.refused == [("QUEUE_FULL", 300), ("DEADLINE_TOO_SHORT", 1), ("DEADLINE_TOO_SHORT", 2)]


def test_what_a_closing_queue_refuses_is_told(bench: Bench) -> None:
    bench.busy()
    waiting = bench.queue.submit(["waits"] * 4)
    assert not bench.queue.close(drain=False, timeout=0)
    with pytest.raises(Draining):
        waiting.result(WAIT)
    assert sorted(bench.heard.refused) == [("DRAINING", 1), ("DRAINING", 4)]
