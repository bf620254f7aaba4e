"""Long texts are prepared in steps: others run in between, and nothing is computed for a cancelled call."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any, Final

import pytest

from qda_worker.models.base import Options, PreparedText
from qda_worker.scheduling.jobs import Success
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.scheduling.tokenizer_pool import CHARACTERS_PER_TURN, SHORT_TEXT, TEXTS_PER_TURN
from tests.support.echo_model import MAX_LENGTH, EchoModel
from tests.support.queue_harness import WAIT

STEPS_PER_TURN: Final = CHARACTERS_PER_TURN // SHORT_TEXT
LONG: Final = "x" * (10 * CHARACTERS_PER_TURN)


class ManualExecutor(Executor):
    """Runs what was submitted when the test says so."""

    def __init__(self) -> None:
        self.turns: deque[Callable[[], Any]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.turns.append(lambda: fn(*args, **kwargs))
        return Future()

    def run_next(self) -> None:
        self.turns.popleft()()

    def run_all(self) -> None:
        while self.turns:
            self.run_next()


class SteppedModel(EchoModel):
    """An EchoModel that prepares a text in pieces of SHORT_TEXT, and under CUT knows the units after the first one.

    Attributes:
        steps: the first character of each text for which a step was taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[str] | None]:
        prepared = self.prepare(text, options)
        for start in range(SHORT_TEXT, len(text), SHORT_TEXT):
            self.steps.append(text[0])
            yield replace(prepared, length=start, counted=False) if start == SHORT_TEXT else None
        self.steps.append(text[0])
        if "%" in text:
            raise ValueError(text[0])
        yield prepared


class Bench:
    """A queue whose two executors the test drives."""

    def __init__(self) -> None:
        self.model = SteppedModel()
        self.pool, self.long_pool = ManualExecutor(), ManualExecutor()
        self.queue: ModelQueue[str, str, str] = ModelQueue(self.model, self.pool, long_pool=self.long_pool)

    def wait_for_batch(self) -> None:
        assert self.model.entered.acquire(timeout=WAIT)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.model.gate.set()
    bench.queue.close(drain=False, timeout=WAIT)


def test_a_turn_is_bounded_by_characters_and_then_others_have_theirs(bench: Bench) -> None:
    bench.queue.submit(["a" + LONG])
    bench.queue.submit(["b" + LONG])
    bench.long_pool.run_next()
    bench.long_pool.run_next()
    assert bench.model.steps == ["a"] * STEPS_PER_TURN + ["b"] * STEPS_PER_TURN
    assert len(bench.long_pool.turns) == 2


def test_a_turn_is_bounded_by_texts(bench: Bench) -> None:
    bench.queue.submit([f"a{number}" for number in range(TEXTS_PER_TURN + 1)])
    bench.pool.run_next()
    assert len(bench.model.steps) == TEXTS_PER_TURN
    assert not bench.pool.turns, "the rest of a large call is prepared beside the first turns of others"
    assert len(bench.long_pool.turns) == 1


def test_the_texts_of_a_turn_are_computed_together(bench: Bench) -> None:
    bench.queue.submit([f"a{number}" for number in range(6)])
    bench.pool.run_next()
    bench.wait_for_batch()
    assert len(bench.model.batches[0]) == 6


def test_a_short_text_never_waits_for_the_executor_of_long_ones(bench: Bench) -> None:
    for _ in range(10):
        bench.queue.submit([LONG])
    short = bench.queue.submit(["kurz"])
    assert len(bench.pool.turns) == 1
    bench.pool.run_next()
    (outcome,) = short.result(WAIT)
    assert isinstance(outcome, Success)
    assert outcome.result == "KURZ"


def test_a_long_text_behind_short_ones_moves_their_job(bench: Bench) -> None:
    bench.queue.submit(["kurz", LONG, "auch"])
    bench.pool.run_next()
    assert bench.model.steps == ["k"]
    assert len(bench.long_pool.turns) == 1


def test_the_part_that_is_read_is_computed_before_the_rest_is_counted(bench: Bench) -> None:
    answer = bench.queue.submit(["a" + LONG, "b" + LONG])
    bench.long_pool.run_next()
    assert bench.model.steps[:2] == ["a", "b"], (
        "the texts of a job are queued before the rest of any is counted"
    )
    bench.wait_for_batch()
    assert not answer.done(), "a result says how many tokens the whole text has"
    bench.long_pool.run_all()
    for outcome in answer.result(WAIT):
        assert isinstance(outcome, Success)
        assert len(outcome.result) == MAX_LENGTH
        assert (outcome.usage.token_count, outcome.usage.cut) == (len(LONG) + 1, True)


def test_a_text_is_finished_when_it_is_counted_before_it_is_computed(bench: Bench) -> None:
    bench.model.gate.clear()
    answer = bench.queue.submit(["a" + LONG])
    bench.long_pool.run_all()
    bench.model.gate.set()
    (outcome,) = answer.result(WAIT)
    assert isinstance(outcome, Success)
    assert outcome.usage.token_count == len(LONG) + 1


def test_a_cancelled_call_takes_no_further_step(bench: Bench) -> None:
    answer = bench.queue.submit(["a" + LONG])
    bench.long_pool.run_next()
    taken = len(bench.model.steps)
    answer.cancel()
    bench.long_pool.run_all()
    assert len(bench.model.steps) == taken


def test_an_error_while_the_rest_is_counted_fails_that_text_alone(bench: Bench) -> None:
    answer = bench.queue.submit(["a" + LONG + "%", "b" + LONG])
    bench.long_pool.run_all()
    bad, good = answer.result(WAIT)
    assert not isinstance(bad, Success)
    assert bad.error.reason == "MODEL_FAILED"
    assert isinstance(good, Success)
