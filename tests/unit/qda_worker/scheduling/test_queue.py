"""What a queue promises to those who wait in it."""

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
from qda_worker.scheduling.jobs import Failed, Lane, Outcome
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel
from tests.support.queue_bench import WAIT, Bench, Queue, results

WINDOWED: Final = Options(LongText.WINDOW)


@settings(max_examples=30)
@given(st.lists(st.text("abc ", min_size=1, max_size=300), max_size=40), st.sampled_from(Lane))
def test_every_text_has_its_own_answer_in_its_place(texts: list[str], lane: Lane) -> None:
    with ThreadPoolExecutor(2) as threads:
        queue: Queue = ModelQueue(EchoModel(), threads)
        outcomes = queue.submit(texts, WINDOWED, lane=lane).result(WAIT)
        assert results(outcomes) == [text.upper() for text in texts]
        assert queue.waiting == 0
        assert queue.close(drain=True, timeout=WAIT)


def test_calls_of_many_threads_share_batches_and_keep_their_answers(bench: Bench) -> None:
    bench.busy()
    futures = [bench.queue.submit([f"text {number}"] * 2) for number in range(4)]
    bench.settled()
    bench.model.gate.set()
    assert [results(future.result(WAIT)) for future in futures] == [[f"TEXT {n}"] * 2 for n in range(4)]
    assert bench.model.batches[1:] == [[f"text {number}" for number in range(4) for _ in range(2)]]


def test_short_texts_pass_between_the_windows_of_a_long_one(bench: Bench) -> None:
    bench.busy()
    long = bench.queue.submit(["ab " * 1000], WINDOWED)
    bench.settled()
    short = bench.queue.submit(["short"])
    bench.settled()
    bench.model.gate.set()
    assert results(short.result(WAIT)) == ["SHORT"]
    assert results(long.result(WAIT)) == ["AB " * 1000]
    at = next(number for number, batch in enumerate(bench.model.batches) if "short" in batch)
    assert 1 <= at <= 5  # after the batch under way at most four of the long text's, which has 22
    assert len(bench.model.batches) > 20


def test_one_bad_text_is_one_items_error_alone(bench: Bench) -> None:
    """The batch raises; each text is computed again by itself, and only the bad one has no answer."""
    bench.busy()
    future = bench.queue.submit(["good", "bad!", "also good", "", "x" * 41], Options(LongText.ERROR))
    bench.settled()
    bench.model.gate.set()
    outcomes = future.result(WAIT)
    assert results(outcomes) == ["GOOD", "MODEL_FAILED", "ALSO GOOD", "TEXT_EMPTY", "TEXT_TOO_LONG"]
    kinds = [type(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)]
    assert kinds == [ModelFailed, TextEmpty, TextTooLong]
    assert bench.queue.healthy


@pytest.mark.parametrize("text", ["secret! ", "secret? ", "secret# "])
def test_no_text_reaches_a_log_or_an_error(bench: Bench, caplog: pytest.LogCaptureFixture, text: str) -> None:
    """The foreign exceptions hold the text in their messages."""
    with caplog.at_level(logging.DEBUG):
        (outcome,) = bench.queue.submit([text]).result(WAIT)
    assert isinstance(outcome, Failed)
    assert outcome.error.reason == "MODEL_FAILED"
    assert "secret" not in str(outcome.error) + caplog.text
    assert "echo_model.py" in caplog.text


def test_a_failed_window_fails_its_text_once(bench: Bench) -> None:
    outcomes = bench.queue.submit(["a" * 50 + "!" + "b" * 100, "fine"], WINDOWED).result(WAIT)
    assert results(outcomes) == ["MODEL_FAILED", "FINE"]
    assert bench.queue.waiting == 0


def test_cancelled_work_is_never_computed(bench: Bench) -> None:
    bench.busy()
    cancelled, kept = bench.queue.submit(["cancelled"] * 3), bench.queue.submit(["kept"])
    bench.settled()
    assert cancelled.cancel()
    assert bench.queue.waiting == 2
    bench.model.gate.set()
    assert results(kept.result(WAIT)) == ["KEPT"]
    assert bench.model.batches == [["busy"], ["kept"]]
    with pytest.raises(CancelledError):
        cancelled.result(WAIT)


def test_cancelling_an_asyncio_task_drops_its_work(bench: Bench) -> None:
    async def cancel_one() -> list[Outcome[str]]:
        bench.busy()
        gone = asyncio.create_task(bench.queue.answer(["gone"]))
        kept = asyncio.create_task(bench.queue.answer(["kept"]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        bench.model.gate.set()
        return await kept

    assert results(asyncio.run(cancel_one())) == ["KEPT"]
    assert ["gone"] not in bench.model.batches


def test_work_past_its_deadline_leaves_the_queue_before_it_is_computed(bench: Bench) -> None:
    bench.busy()
    late = bench.queue.submit(["late"] * 2, deadline=bench.now + 5)
    kept = bench.queue.submit(["kept"], deadline=bench.now + 50)
    bench.settled()
    bench.now += 10
    bench.model.gate.set()
    assert results(kept.result(WAIT)) == ["KEPT"]
    with pytest.raises(DeadlineTooShort):
        late.result(WAIT)
    assert bench.model.batches == [["busy"], ["kept"]]
    with pytest.raises(DeadlineTooShort, match="passed already"):
        bench.queue.submit(["too late"], deadline=bench.now)


def test_a_full_queue_refuses_a_whole_call_at_once_and_takes_others_later(bench: Bench) -> None:
    bench.busy()
    waiting = bench.queue.submit(["waits"] * 150)
    with pytest.raises(QueueFull, match="151 texts wait, 50 more would exceed 200"):
        bench.queue.submit(["refused"] * 50)
    fits = bench.queue.submit(["fits"] * 49, caller="another")
    bench.model.gate.set()
    assert results(waiting.result(WAIT) + fits.result(WAIT)) == ["WAITS"] * 150 + ["FITS"] * 49
    assert results(bench.queue.submit(["now it fits"] * 50).result(WAIT)) == ["NOW IT FITS"] * 50


def test_interactive_work_goes_before_bulk_work_that_came_first(bench: Bench) -> None:
    bench.busy()
    bulk = bench.queue.submit(["bulk"], lane=Lane.BULK)
    bench.now += 1
    interactive = bench.queue.submit(["interactive"])
    bench.settled()
    bench.model.gate.set()
    assert results(bulk.result(WAIT) + interactive.result(WAIT)) == ["BULK", "INTERACTIVE"]
    assert bench.model.batches[1:] == [["interactive"], ["bulk"]]


def test_bulk_work_that_has_aged_goes_first(bench: Bench) -> None:
    bench.busy()
    bulk = bench.queue.submit(["bulk"], lane=Lane.BULK)
    bench.now += 3
    interactive = bench.queue.submit(["interactive"])
    bench.settled()
    bench.model.gate.set()
    assert results(bulk.result(WAIT) + interactive.result(WAIT)) == ["BULK", "INTERACTIVE"]
    assert bench.model.batches[1:] == [["bulk"], ["interactive"]]


def test_a_large_call_does_not_keep_a_small_one_from_being_tokenised(bench: Bench) -> None:
    """Calls take turns in the pool: the small one is computed while the large one is still being prepared."""
    bench.busy()
    large = bench.queue.submit(["l" * 40] * 150, lane=Lane.BULK)
    small = bench.queue.submit(["small"])
    bench.model.gate.set()
    assert results(small.result(WAIT)) == ["SMALL"]
    assert len(large.result(WAIT)) == 150


def test_the_death_of_the_model_is_told_to_all_who_wait(bench: Bench) -> None:
    bench.busy()
    waiting = bench.queue.submit(["dies†", "z" * 40])
    bench.settled()
    bench.model.gate.set()
    assert results(waiting.result(WAIT)) == ["MODEL_FAILED", "MODEL_FAILED"]
    assert bench.queue.close(drain=True, timeout=WAIT)
    assert bench.failures == ["the echo died away"]
    assert not bench.queue.healthy
    with pytest.raises(ModelDied, match="the echo died away"):
        bench.queue.submit(["afterwards"])


def test_a_model_that_dies_while_nothing_waits_is_noticed(bench: Bench) -> None:
    (told,) = bench.model.watchers
    told("its process ended")
    told("and told twice")
    assert bench.failures == ["its process ended"]
    assert bench.queue.failure == "its process ended"


def test_a_dead_compute_thread_ends_the_service_with_its_reason(pool: Executor) -> None:
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


def test_a_wrong_number_of_outputs_is_a_failure_not_a_mix_up(pool: Executor) -> None:
    class ShortModel(EchoModel):
        def compute(self, units: Sequence[Unit[str]]) -> list[str]:
            return []

    queue: Queue = ModelQueue(ShortModel(), pool)
    assert results(queue.submit(["one", "two"]).result(WAIT)) == ["MODEL_FAILED"] * 2
    assert queue.close(drain=True, timeout=WAIT)


def test_a_drain_finishes_what_waits_and_takes_nothing_more(bench: Bench) -> None:
    bench.busy()
    waiting = bench.queue.submit(["waits"] * 100)
    assert not bench.queue.close(drain=True, timeout=0)
    with pytest.raises(Draining):
        bench.queue.submit(["too late"])
    bench.model.gate.set()
    assert bench.queue.close(drain=True, timeout=WAIT)
    assert results(waiting.result(0)) == ["WAITS"] * 100


def test_closing_without_a_drain_refuses_what_waits(bench: Bench) -> None:
    bench.busy()
    waiting = bench.queue.submit(["waits"])
    assert not bench.queue.close(drain=False, timeout=0)
    with pytest.raises(Draining):
        waiting.result(WAIT)
    bench.model.gate.set()
    assert bench.queue.close(drain=False, timeout=WAIT)
    assert bench.model.batches == [["busy"]]


def test_a_pool_that_was_shut_down_is_a_drain_not_a_hang() -> None:
    threads = ThreadPoolExecutor(1)
    queue: Queue = ModelQueue(EchoModel(), threads)
    threads.shutdown()
    with pytest.raises(Draining):
        queue.submit(["text"]).result(WAIT)
    assert queue.close(drain=True, timeout=WAIT)


def test_no_texts_are_answered_with_no_outcomes(bench: Bench) -> None:
    assert bench.queue.submit([]).result(WAIT) == []


def test_timings_tell_waiting_from_computing(bench: Bench) -> None:
    bench.busy()
    future = bench.queue.submit(["four", "eight888"])
    bench.settled()
    bench.now += 7
    bench.model.gate.set()
    timings = [outcome.timings for outcome in future.result(WAIT)]
    assert [timing.queue for timing in timings] == [7.0, 7.0]
    assert [timing.tokenise for timing in timings] == [0.0, 0.0]


def test_compute_time_is_shared_out_by_length(pool: Executor) -> None:
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
