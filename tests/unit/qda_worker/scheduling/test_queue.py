"""Guarantees of a queue to its callers."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qda_worker.errors import (
    DeadlineTooShort,
    Draining,
    ModelDied,
    ModelFailed,
    QueueFull,
    TextEmpty,
    TextTooLong,
)
from qda_worker.models.base import LongText, Options, Unit
from qda_worker.scheduling.jobs import Failure, Lane, Outcome
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT, Queue, QueueHarness, results

WINDOWED: Final = Options(LongText.WINDOW)


@settings(max_examples=30)
@given(st.lists(st.text("abc ", min_size=1, max_size=300), max_size=40), st.sampled_from(Lane))
def test_every_text_gets_its_own_result_in_its_position(texts: list[str], lane: Lane) -> None:
    with ThreadPoolExecutor(2) as threads:
        queue: Queue = ModelQueue(EchoModel(), threads)
        outcomes = queue.submit(texts, WINDOWED, lane=lane).result(WAIT)
        assert results(outcomes) == [text.upper() for text in texts]
        assert queue.waiting == 0
        assert queue.close(drain=True, timeout=WAIT)


def test_calls_share_batches_and_keep_their_own_results(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    futures = [harness.queue.submit([f"a {number}", f"b {number}"]) for number in range(4)]
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert [results(future.result(WAIT)) for future in futures] == [[f"A {n}", f"B {n}"] for n in range(4)]
    assert harness.model.batches[1:] == [[f"{letter} {number}" for number in range(4) for letter in "ab"]]


def test_short_texts_pass_between_the_windows_of_a_long_text(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    long = harness.queue.submit(["ab " * 1000], WINDOWED)
    harness.wait_for_tokenizer()
    short = harness.queue.submit(["short"])
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert results(short.result(WAIT)) == ["SHORT"]
    assert results(long.result(WAIT)) == ["AB " * 1000]
    batches = harness.model.batches
    at = next(number for number, batch in enumerate(batches) if "short" in batch)
    assert at >= 1
    # After the running batch, no more than four full ones of the 22 of the long text.
    assert sum(map(len, batches[1:at])) <= 4 * max(map(len, batches))
    assert len(batches) > 20


def test_a_bad_text_fails_alone(harness: QueueHarness) -> None:
    """The batch raises; each text is computed again alone, and only the bad one fails."""
    harness.block_compute_thread()
    future = harness.queue.submit(["good", "bad!", "also good", "", "x" * 41], Options(LongText.ERROR))
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    outcomes = future.result(WAIT)
    assert results(outcomes) == ["GOOD", "MODEL_FAILED", "ALSO GOOD", "TEXT_EMPTY", "TEXT_TOO_LONG"]
    kinds = [type(outcome.error) for outcome in outcomes if isinstance(outcome, Failure)]
    assert kinds == [ModelFailed, TextEmpty, TextTooLong]
    assert harness.queue.healthy


@pytest.mark.parametrize("text", ["secret! ", "secret? ", "secret# "])
def test_no_text_reaches_a_log_or_an_error(
    harness: QueueHarness, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The messages of the foreign exceptions contain the text."""
    with caplog.at_level(logging.DEBUG):
        (outcome,) = harness.queue.submit([text]).result(WAIT)
    assert isinstance(outcome, Failure)
    assert outcome.error.reason == "MODEL_FAILED"
    assert "secret" not in str(outcome.error) + caplog.text
    assert "echo_model.py" in caplog.text


def test_a_failed_window_fails_its_text_once(harness: QueueHarness) -> None:
    outcomes = harness.queue.submit(["a" * 50 + "!" + "b" * 100, "fine"], WINDOWED).result(WAIT)
    assert results(outcomes) == ["MODEL_FAILED", "FINE"]
    assert harness.queue.waiting == 0


def test_cancelled_work_is_not_computed(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    cancelled, kept = harness.queue.submit(["cancelled"] * 3), harness.queue.submit(["kept"])
    harness.wait_for_tokenizer()
    assert cancelled.cancel()
    assert harness.queue.waiting == 2
    harness.model.gate.set()
    assert results(kept.result(WAIT)) == ["KEPT"]
    assert harness.model.batches == [["busy"], ["kept"]]
    with pytest.raises(CancelledError):
        cancelled.result(WAIT)


def test_the_units_of_an_ended_call_leave_the_queue_at_once(harness: QueueHarness) -> None:
    """Also behind live work of the same caller, so that limits and memory agree."""
    lanes = harness.queue._state.lanes  # the memory that the queue holds
    harness.block_compute_thread()
    live = harness.queue.submit([f"live {number}" for number in range(10)], lane=Lane.BULK)
    windows = Options(LongText.WINDOW)
    for _ in range(40):
        gone = harness.queue.submit([letter * 1000 for letter in "vwxyz"], windows, lane=Lane.BULK)
        harness.wait_for_tokenizer()
        assert len(lanes) > 10
        assert gone.cancel()
        assert len(lanes) == 10
    late = harness.queue.submit([f"late {number}" for number in range(9)])
    assert late.cancel()
    harness.wait_for_tokenizer()
    assert len(lanes) == 10, "nothing is added for a call that has ended"
    harness.model.gate.set()
    assert results(live.result(WAIT)) == [f"LIVE {number}" for number in range(10)]


def test_the_waiting_windows_of_a_failed_text_leave_the_queue(harness: QueueHarness) -> None:
    lanes = harness.queue._state.lanes
    harness.block_compute_thread()
    failed = harness.queue.submit(["!" * 2000], Options(LongText.WINDOW))
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert results(failed.result(WAIT)) == ["MODEL_FAILED"]
    assert len(lanes) == 0


def test_cancelling_an_asyncio_task_drops_its_work(harness: QueueHarness) -> None:
    async def cancel_one() -> list[Outcome[str]]:
        harness.block_compute_thread()
        gone = asyncio.create_task(harness.queue.answer(["gone"]))
        kept = asyncio.create_task(harness.queue.answer(["kept"]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        harness.model.gate.set()
        return await kept

    assert results(asyncio.run(cancel_one())) == ["KEPT"]
    assert ["gone"] not in harness.model.batches


def test_work_past_its_deadline_is_not_computed(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    late = harness.queue.submit(["late"] * 2, deadline=harness.now + 5)
    kept = harness.queue.submit(["kept"], deadline=harness.now + 50)
    harness.wait_for_tokenizer()
    harness.now += 10
    harness.model.gate.set()
    assert results(kept.result(WAIT)) == ["KEPT"]
    with pytest.raises(DeadlineTooShort):
        late.result(WAIT)
    assert harness.model.batches == [["busy"], ["kept"]]
    with pytest.raises(DeadlineTooShort, match="already passed"):
        harness.queue.submit(["too late"], deadline=harness.now)


def test_a_full_queue_refuses_a_whole_call_and_admits_later_ones(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    waiting = harness.queue.submit(["waits"] * 150)
    with pytest.raises(QueueFull, match="151 texts wait, 50 more would exceed 200"):
        harness.queue.submit(["refused"] * 50)
    fits = harness.queue.submit(["fits"] * 49, caller="another")
    harness.model.gate.set()
    assert results(waiting.result(WAIT) + fits.result(WAIT)) == ["WAITS"] * 150 + ["FITS"] * 49
    assert results(harness.queue.submit(["now it fits"] * 50).result(WAIT)) == ["NOW IT FITS"] * 50


def test_interactive_work_goes_before_earlier_bulk_work(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    bulk = harness.queue.submit(["bulk"], lane=Lane.BULK)
    harness.now += 1
    interactive = harness.queue.submit(["interactive"])
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert results(bulk.result(WAIT) + interactive.result(WAIT)) == ["BULK", "INTERACTIVE"]
    assert harness.model.batches[1:] == [["interactive"], ["bulk"]]


def test_bulk_work_that_has_aged_goes_first(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    bulk = harness.queue.submit(["bulk"], lane=Lane.BULK)
    harness.now += 3
    interactive = harness.queue.submit(["interactive"])
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert results(bulk.result(WAIT) + interactive.result(WAIT)) == ["BULK", "INTERACTIVE"]
    assert harness.model.batches[1:] == [["bulk"], ["interactive"]]


def test_a_large_call_does_not_delay_the_tokenization_of_a_small_one(harness: QueueHarness) -> None:
    """Calls take turns in the pool: the small one is computed while the large one is still tokenized."""
    harness.block_compute_thread()
    large = harness.queue.submit(["l" * 40] * 150, lane=Lane.BULK)
    small = harness.queue.submit(["small"])
    harness.model.gate.set()
    assert results(small.result(WAIT)) == ["SMALL"]
    assert len(large.result(WAIT)) == 150


def test_the_death_of_the_model_is_the_outcome_of_every_waiting_text(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    waiting = harness.queue.submit(["dies†", "z" * 40])
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert results(waiting.result(WAIT)) == ["MODEL_FAILED", "MODEL_FAILED"]
    assert harness.queue.close(drain=True, timeout=WAIT)
    assert harness.failures == ["the echo died away"]
    assert not harness.queue.healthy
    with pytest.raises(ModelDied, match="the echo died away"):
        harness.queue.submit(["afterwards"])


def test_a_model_that_dies_while_nothing_waits_is_noticed(harness: QueueHarness) -> None:
    (on_failure,) = harness.model.watchers
    on_failure("its process ended")
    on_failure("a second report")
    assert harness.failures == ["its process ended"]
    assert harness.queue.failure == "its process ended"


def test_the_end_of_the_compute_thread_is_the_death_of_the_model(pool: Executor) -> None:
    class Fatal(BaseException):
        pass

    class FatalModel(EchoModel):
        def compute(self, units: Sequence[Unit[str]]) -> list[str]:
            raise Fatal

    failures: list[str] = []
    queue: Queue = ModelQueue(FatalModel(), pool, on_failure=failures.append)
    assert results(queue.submit(["text"]).result(WAIT)) == ["MODEL_FAILED"]
    assert queue.close(drain=True, timeout=WAIT)
    assert failures == ["its compute thread ended by Fatal"]


def test_a_wrong_number_of_outputs_is_a_failure(pool: Executor) -> None:
    class ShortModel(EchoModel):
        def compute(self, units: Sequence[Unit[str]]) -> list[str]:
            return []

    queue: Queue = ModelQueue(ShortModel(), pool)
    assert results(queue.submit(["one", "two"]).result(WAIT)) == ["MODEL_FAILED"] * 2
    assert queue.close(drain=True, timeout=WAIT)


def test_a_drain_finishes_what_waits_and_admits_nothing_more(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    waiting = harness.queue.submit(["waits"] * 100)
    assert not harness.queue.close(drain=True, timeout=0)
    with pytest.raises(Draining):
        harness.queue.submit(["too late"])
    harness.model.gate.set()
    assert harness.queue.close(drain=True, timeout=WAIT)
    assert results(waiting.result(0)) == ["WAITS"] * 100


def test_closing_without_a_drain_refuses_what_waits(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    waiting = harness.queue.submit(["waits"])
    assert not harness.queue.close(drain=False, timeout=0)
    with pytest.raises(Draining):
        waiting.result(WAIT)
    harness.model.gate.set()
    assert harness.queue.close(drain=False, timeout=WAIT)
    assert harness.model.batches == [["busy"]]


def test_a_pool_that_was_shut_down_ends_calls_as_draining() -> None:
    threads = ThreadPoolExecutor(1)
    queue: Queue = ModelQueue(EchoModel(), threads)
    threads.shutdown()
    with pytest.raises(Draining):
        queue.submit(["text"]).result(WAIT)
    assert queue.close(drain=True, timeout=WAIT)


def test_a_call_without_texts_has_no_outcomes(harness: QueueHarness) -> None:
    assert harness.queue.submit([]).result(WAIT) == []


def test_timings_separate_waiting_from_computing(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    future = harness.queue.submit(["four", "eight888"])
    harness.wait_for_tokenizer()
    harness.now += 7
    harness.model.gate.set()
    timings = [outcome.timings for outcome in future.result(WAIT)]
    assert [timing.queue for timing in timings] == [7.0, 7.0]
    assert [timing.tokenize for timing in timings] == [0.0, 0.0]


def test_compute_time_is_divided_by_length(pool: Executor) -> None:
    now = [0.0]

    class SlowModel(EchoModel):
        def compute(self, units: Sequence[Unit[str]]) -> list[str]:
            now[0] += 3
            return super().compute(units)

    model = SlowModel()
    queue: Queue = ModelQueue(model, pool, clock=lambda: now[0])
    model.gate.clear()
    queue.submit(["busy"])
    assert model.entered.acquire(timeout=WAIT)
    future = queue.submit(["four", "eight888"])
    assert pool.submit(lambda: None).result(WAIT) is None
    model.gate.set()
    assert [outcome.timings.compute for outcome in future.result(WAIT)] == [1.0, 2.0]
    assert queue.close(drain=True, timeout=WAIT)
