"""Calls are refused only for good reason, and a refusal says when to retry."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from itertools import count
from typing import Final

import pytest

from qda_worker.errors import DeadlineTooShort, QueueFull
from qda_worker.models.base import Unit
from qda_worker.scheduling.jobs import Caller, Lane
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT, QueueHarness, results

# Eight of these fill a batch.
# Makes all texts of a run different: equal ones are computed once.
_NUMBERS: Final = count()


def tens(number: int) -> list[str]:
    """Return distinct texts of ten characters."""
    return [f"{next(_NUMBERS):010d}" for _ in range(number)]


class TimedModel(EchoModel):
    """Takes one second of the test's clock per batch. Closes its own gate after `batches_to_go` batches."""

    harness: QueueHarness
    batches_to_go = 0

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        found = super().compute(units)
        self.harness.now += 1.0
        self.batches_to_go -= 1
        if self.batches_to_go == 0:
            self.gate.clear()
        return found


@pytest.fixture
def timed(pool: Executor) -> QueueHarness:
    model = TimedModel()
    model.harness = QueueHarness(pool, model)
    return model.harness


@pytest.fixture
def measured(timed: QueueHarness) -> QueueHarness:
    """Return a queue with a measured throughput of 8 texts a second. One text blocks its compute thread."""
    timed.block_compute_thread()
    first = timed.queue.submit(tens(80))
    timed.wait_for_tokenizer()
    timed.model.gate.set()
    first.result(WAIT)
    timed.model.gate.clear()
    timed.queue.submit(["busy"], caller="other")
    assert timed.model.entered.acquire(timeout=WAIT)
    while timed.model.entered.acquire(blocking=False):
        pass
    return timed


@pytest.fixture(autouse=True)
def closed(timed: QueueHarness) -> object:
    yield
    timed.model.gate.set()
    assert timed.queue.close(drain=False, timeout=WAIT)


def test_work_that_cannot_meet_its_deadline_is_refused_at_once(measured: QueueHarness) -> None:
    """160 texts would take 20 s."""
    with pytest.raises(
        DeadlineTooShort, match=r"answered in about 20\.\d s, which is more than three quarters of the 5\.0 s"
    ) as caught:
        measured.queue.submit(tens(160), deadline=measured.now + 5)
    assert 20 <= caught.value.retry_after <= 20.2 * 1.25
    assert measured.observer.refused == [("DEADLINE_TOO_SHORT", 160)]


def test_work_that_might_meet_its_deadline_is_admitted(measured: QueueHarness) -> None:
    measured.queue.submit(tens(150), deadline=measured.now + 25.5)  # is not refused


def test_work_that_waits_already_counts_against_the_deadline(measured: QueueHarness) -> None:
    measured.queue.submit(tens(80))
    measured.queue.submit(tens(8), deadline=measured.now + 15)  # is not refused
    with pytest.raises(DeadlineTooShort):
        measured.queue.submit(tens(8), deadline=measured.now + 14)


def test_the_work_of_others_counts_only_as_much_as_ones_own(measured: QueueHarness) -> None:
    """Callers share the time: 16 texts beside 120 of another caller are done after 32 texts."""
    measured.queue.submit(tens(120), caller="greedy")
    measured.queue.submit(tens(16), caller="modest", deadline=measured.now + 5.4)  # is not refused
    with pytest.raises(DeadlineTooShort):
        measured.queue.submit(tens(16), caller="another", deadline=measured.now + 4.5)


def test_bulk_work_does_not_count_for_interactive_work(measured: QueueHarness) -> None:
    measured.queue.submit(tens(120), lane=Lane.BULK)
    measured.queue.submit(tens(8), deadline=measured.now + 1.4)  # is not refused


def test_late_bulk_work_says_nothing_about_interactive_work(measured: QueueHarness) -> None:
    """Interactive work itself delays bulk work."""
    for _ in range(4):
        measured.queue.submit(tens(8), lane=Lane.BULK, deadline=measured.now + 6)
    measured.now += 10
    measured.model.gate.set()
    measured.queue.submit(tens(8)).result(WAIT)
    measured.model.gate.clear()
    measured.queue.submit(["busy again"], caller="other")
    assert measured.model.entered.acquire(timeout=WAIT)
    measured.queue.submit(tens(16), deadline=measured.now + 4)  # 2 s: is not refused


def test_before_a_measurement_no_call_is_refused_for_its_deadline(timed: QueueHarness) -> None:
    timed.block_compute_thread()
    timed.queue.submit(tens(99), caller="other")
    future = timed.queue.submit(tens(99), deadline=timed.now + 0.001)
    timed.model.gate.set()
    with pytest.raises(DeadlineTooShort, match=r"texts (waited|were tokenized)"):
        future.result(WAIT)


def test_texts_computed_alone_are_not_measured(timed: QueueHarness) -> None:
    """One text a second does not tell how many fit into a batch."""
    for _ in range(5):
        timed.queue.submit(tens(1)).result(WAIT)
    assert timed.queue.submit(tens(160), deadline=timed.now + 21).result(WAIT)


def test_a_full_queue_returns_a_retry_delay(measured: QueueHarness) -> None:
    """80 of 160 texts must be done first, which is half of 20 s."""
    measured.queue.submit(tens(159), caller="greedy")
    with pytest.raises(QueueFull) as caught:
        measured.queue.submit(tens(120), caller="late")
    assert 9.5 <= caught.value.retry_after <= 10.5 * 1.25


def test_work_admitted_before_a_measurement_counts_in_the_advice(timed: QueueHarness) -> None:
    """Otherwise five refused calls would use up their retries within a second, in the first load after a start."""
    timed.block_compute_thread()
    timed.queue.submit(tens(159), caller="greedy")
    timed.wait_for_tokenizer()
    assert isinstance(timed.model, TimedModel)
    timed.model.batches_to_go = 3  # the running one, and two full ones, which are measured
    timed.model.gate.set()
    for _ in range(3):
        assert timed.model.entered.acquire(timeout=WAIT)
    timed.wait_for_tokenizer()
    with pytest.raises(QueueFull, match="143 texts wait") as caught:
        timed.queue.submit(tens(120), caller="late")
    assert 7.8 <= caught.value.retry_after <= 8.0 * 1.25, "63 of them must be done first, eight a second"


def test_before_a_measurement_the_advice_is_two_seconds_with_jitter(timed: QueueHarness) -> None:
    timed.block_compute_thread()
    timed.queue.submit(tens(159), caller="greedy")
    advice = set()
    for _ in range(20):
        with pytest.raises(QueueFull) as caught:
            timed.queue.submit(tens(120), caller="late")
        advice.add(caught.value.retry_after)
    assert len(advice) > 1
    assert all(2.0 <= seconds <= 2.5 for seconds in advice)


def test_one_caller_cannot_fill_the_queue(measured: QueueHarness) -> None:
    measured.queue.submit(tens(150), caller="greedy")
    with pytest.raises(QueueFull, match="150 texts of this caller wait, 20 more would exceed its 160"):
        measured.queue.submit(tens(20), caller="greedy")
    waiting = measured.queue.submit(tens(20), caller="modest")
    measured.model.gate.set()
    assert len(results(waiting.result(WAIT))) == 20


# Three of these fit beside a short text: the limit is 100,000 bytes.
LONG: Final = "x" * 30_000


def test_texts_beyond_the_memory_limit_are_refused_with_advice(
    harness: QueueHarness,
) -> None:
    harness.block_compute_thread()
    harness.queue.submit([LONG] * 2, caller="a")
    with pytest.raises(
        QueueFull, match=r"60\d+ bytes of text wait, 60\d+ more would exceed 100000"
    ) as caught:
        harness.queue.submit([LONG] * 2, caller="b")
    assert caught.value.retry_after > 0
    assert harness.observer.refused == [("QUEUE_FULL", 2)]
    harness.queue.submit([LONG], caller="b")  # is not refused


def test_wide_characters_count_with_the_memory_they_take(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    with pytest.raises(QueueFull, match="bytes of text"):
        harness.queue.submit([LONG + "🙂"], caller="b")


def test_one_caller_cannot_fill_the_queue_with_bytes_either(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    harness.queue.submit([LONG] * 2, caller="greedy")
    with pytest.raises(
        QueueFull, match="bytes of text of this caller wait, 30049 more would exceed its 80000"
    ):
        harness.queue.submit([LONG], caller="greedy")
    harness.queue.submit([LONG], caller="modest")  # is not refused


def test_an_empty_queue_admits_a_call_of_any_size(harness: QueueHarness) -> None:
    assert harness.queue.submit([LONG] * 9).result(WAIT)


def test_a_job_that_is_answered_cancelled_or_late_releases_its_memory(harness: QueueHarness) -> None:
    for round_ in range(3):
        harness.block_compute_thread()
        waiting = harness.queue.submit([LONG] * 3, caller="a", deadline=harness.now + 5)
        if round_ == 0:
            harness.model.gate.set()
            waiting.result(WAIT)
        elif round_ == 1:
            assert waiting.cancel()
        else:
            harness.now += 6
            harness.model.gate.set()
            with pytest.raises(DeadlineTooShort):
                waiting.result(WAIT)
        harness.queue.submit([LONG] * 3, caller="b")  # is not refused
        harness.model.gate.set()
        while harness.queue.waiting:
            harness.wait_for_tokenizer()


class ThrottledModel(EchoModel):
    """Takes `seconds` of the test's clock per text, as a container with or without CPU time does."""

    harness: QueueHarness
    seconds = 0.0

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        found = super().compute(units)
        self.harness.now += self.seconds * len(units)
        return found


@pytest.fixture
def throttled(pool: Executor) -> Iterator[QueueHarness]:
    model = ThrottledModel()
    model.harness = QueueHarness(pool, model)
    yield model.harness
    model.gate.set()
    assert model.harness.queue.close(drain=False, timeout=WAIT)


def spend_a_minute_throttled(harness: QueueHarness) -> None:
    """Compute for a minute 20 times as slowly as usual, which is 0.01 s a text, then as usual again."""
    assert isinstance(harness.model, ThrottledModel)
    harness.model.seconds = 0.2
    ended = harness.now + 60
    while harness.now < ended:
        harness.queue.submit(tens(32)).result(WAIT)
    harness.model.seconds = 0.01


def test_a_model_that_was_throttled_and_is_idle_refuses_nothing(throttled: QueueHarness) -> None:
    """Eight texts take 0.08 s and may take 0.5 s; by what was measured last they would take 1.6 s."""
    spend_a_minute_throttled(throttled)
    for _ in range(500):
        assert throttled.queue.submit(tens(8), deadline=throttled.now + 0.5).result(WAIT)
    assert throttled.observer.refused == []


def test_one_slow_first_batch_refuses_nothing(throttled: QueueHarness) -> None:
    assert isinstance(throttled.model, ThrottledModel)
    throttled.model.seconds = 0.5
    throttled.queue.submit(tens(8)).result(WAIT)
    throttled.model.seconds = 0.001
    throttled.block_compute_thread()
    throttled.queue.submit(tens(64), deadline=throttled.now + 0.5)  # is not refused


def test_a_busy_model_that_was_throttled_admits_again_after_some_time(throttled: QueueHarness) -> None:
    """Something always waits here, so the queue is never empty, and nothing of that length is computed."""
    spend_a_minute_throttled(throttled)
    throttled.block_compute_thread()
    with pytest.raises(DeadlineTooShort):
        throttled.queue.submit(tens(8), deadline=throttled.now + 0.5)
    throttled.now += 60
    throttled.queue.submit(tens(8), deadline=throttled.now + 0.5)  # is not refused


def test_advice_for_a_full_queue_forgets_a_slow_spell_too(throttled: QueueHarness) -> None:
    """Also for work that was admitted while the model was slow."""
    spend_a_minute_throttled(throttled)
    throttled.block_compute_thread()
    throttled.queue.submit(tens(159), caller="greedy")
    with pytest.raises(QueueFull) as slow:
        throttled.queue.submit(tens(120), caller="late")
    throttled.now += 60
    with pytest.raises(QueueFull) as later:
        throttled.queue.submit(tens(120), caller="late")
    assert slow.value.retry_after > 10
    assert 2.0 <= later.value.retry_after <= 2.5


def test_fresh_names_do_not_give_a_host_more_of_the_queue(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    for number in range(16):
        harness.queue.submit(tens(10), caller=Caller("host", f"name-{number}"))
    with pytest.raises(QueueFull, match="160 texts of this host wait, 1 more would exceed its 160"):
        harness.queue.submit(tens(1), caller=Caller("host", "one more"))
    harness.queue.submit(tens(20), caller="other")  # is not refused


def test_one_name_cannot_fill_the_share_of_its_host(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    harness.queue.submit(tens(120), caller=Caller("host", "greedy"))
    with pytest.raises(QueueFull, match="120 texts of this caller wait, 10 more would exceed its 128"):
        harness.queue.submit(tens(10), caller=Caller("host", "greedy"))
    harness.queue.submit(tens(30), caller=Caller("host", "modest"))  # is not refused


def test_many_names_of_a_host_count_as_one_caller_for_the_deadline_of_others(measured: QueueHarness) -> None:
    """16 texts beside 120 of ten names of one host are done after 32 texts."""
    for number in range(10):
        measured.queue.submit(tens(12), caller=Caller("host", f"name-{number}"))
    measured.queue.submit(tens(16), caller="modest", deadline=measured.now + 5.4)  # is not refused
