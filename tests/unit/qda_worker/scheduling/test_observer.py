"""A queue reports each event to its observer exactly once."""

import pytest

from qda_worker.errors import DeadlineTooShort, Draining, QueueFull
from tests.support.queue_harness import WAIT, QueueHarness


def test_a_batch_is_reported_with_its_padding(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    future = harness.queue.submit(["four", "eight888"])
    harness.wait_for_tokenizer()
    harness.now += 7
    harness.model.gate.set()
    future.result(WAIT)
    assert harness.observer.batches[1:] == [(2, 12, 16, 0.0)]
    assert harness.observer.queue_seconds == [0.0, 7.0, 7.0]


def test_a_cancelled_call_is_reported_with_its_open_texts(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    future = harness.queue.submit(["gone"] * 3)
    harness.wait_for_tokenizer()
    assert future.cancel()
    assert harness.observer.cancelled == [("CANCELLED_BY_CALLER", 3)]
    assert harness.observer.refused == []


def test_an_answered_call_is_reported_as_neither_cancelled_nor_refused(harness: QueueHarness) -> None:
    harness.queue.submit(["fine", "", "bad!"]).result(WAIT)
    assert (harness.observer.cancelled, harness.observer.refused) == ([], [])


def test_each_refusal_is_reported_with_its_reason_and_its_texts(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    late = harness.queue.submit(["late"] * 2, deadline=harness.now + 5)
    with pytest.raises(QueueFull):
        harness.queue.submit(["many"] * 300)
    harness.now += 10
    with pytest.raises(DeadlineTooShort):
        harness.queue.submit(["too late"], deadline=harness.now)
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    with pytest.raises(DeadlineTooShort):
        late.result(WAIT)
    assert harness.observer.refused == [
        ("QUEUE_FULL", 300),
        ("DEADLINE_TOO_SHORT", 1),
        ("DEADLINE_TOO_SHORT", 2),
    ]


def test_refusals_of_a_closing_queue_are_reported(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    waiting = harness.queue.submit(["waits"] * 4)
    assert not harness.queue.close(drain=False, timeout=0)
    with pytest.raises(Draining):
        waiting.result(WAIT)
    assert sorted(harness.observer.refused) == [("DRAINING", 1), ("DRAINING", 4)]
