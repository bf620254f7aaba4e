"""A call with more texts than it may hold: how many are under way, their order, and an orderly end."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qda_worker.models.base import Options, Unit
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.observability.call_record import begin_call, current_call
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Lane, Success
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.services.inference import (
    FIRST_PARTS,
    MAX_PART_RESULT_BYTES,
    MAX_PARTS,
    PART_TEXTS,
    TextPart,
    infer_parts,
    split_parts,
)
from tests.support.echo_model import MAX_LENGTH, EchoModel
from tests.support.queue_harness import WAIT


class LoadedModel(EchoModel):
    """Computes a batch only when everything that can be queued has been: the state of a queue under load."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._pool = pool

    @property
    def budget(self) -> BatchBudget:
        return BatchBudget(length=25 * MAX_LENGTH, units=64)

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(turns(), self.loop).result(WAIT)
        for _ in range(2 * MAX_PARTS * PART_TEXTS // 32):  # turns of the tokenizer that may follow each other
            self._pool.submit(lambda: None).result(WAIT)
        return super().compute(units)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def model(pool: ThreadPoolExecutor) -> LoadedModel:
    return LoadedModel(pool)


@pytest.fixture
def selected(model: LoadedModel, pool: ThreadPoolExecutor) -> Iterator[SelectedModel]:
    queue: ModelQueue[str, str, str] = ModelQueue(model, pool)
    begin_call("test")
    yield SelectedModel(Engine(model, queue), "digest", "generation")
    model.gate.set()
    assert queue.close(drain=False, timeout=WAIT)


async def turns() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def stable_waiting(selected: SelectedModel) -> int:
    """Return the number of texts in the queue once it does not change any more."""
    seen = [-1, -2]
    while len(set(seen[-5:])) > 1:
        await asyncio.sleep(0.02)
        seen.append(selected.engine.queue.waiting)
    return seen[-1]


def texts_of(count: int) -> list[str]:
    """Return distinct texts of mixed lengths."""
    rng = random.Random(1)  # not secret
    return [f"{number} ".ljust(rng.randint(6, MAX_LENGTH), "x") for number in range(count)]


async def answers(selected: SelectedModel, parts: AsyncIterator[TextPart]) -> list[Any]:
    return [
        outcome.result if isinstance(outcome, Success) else outcome.error.reason
        async for outcomes in infer_parts(selected, parts, Options(), Lane.BULK)
        for outcome in outcomes
    ]


async def test_results_come_in_the_order_of_the_texts(model: LoadedModel, selected: SelectedModel) -> None:
    model.loop = asyncio.get_running_loop()
    texts = [*texts_of(1500), "broken!", *texts_of(300)]
    expected = ["MODEL_FAILED" if "!" in text else text.upper() for text in texts]
    assert await answers(selected, split_parts(texts)) == expected
    assert (current_call().items, current_call().failed_items) == (len(texts), 1)


async def test_batches_are_as_full_as_those_of_one_call(model: LoadedModel, selected: SelectedModel) -> None:
    """With one part at a time there were 2.2 times as many, at 1.14 times the cost; with two, at 1.08 times."""
    model.loop = asyncio.get_running_loop()
    texts = texts_of(4000)
    await selected.engine.answer(texts, Options(), Lane.BULK, None, "")  # type: ignore[arg-type]  # a host's name
    of_call = [list(map(len, batch)) for batch in model.batches]
    model.batches.clear()
    await answers(selected, split_parts(texts))
    of_parts = [list(map(len, batch)) for batch in model.batches]
    assert len(of_parts) <= 1.2 * len(of_call)
    assert padded(of_parts) <= 1.05 * padded(of_call)
    overhead = model.budget.overhead
    cost_of_parts = padded(of_parts) + overhead * len(of_parts)
    assert cost_of_parts <= 1.02 * (padded(of_call) + overhead * len(of_call))


def padded(batches: Sequence[Sequence[int]]) -> int:
    return sum(max(batch) * len(batch) for batch in batches)


async def test_what_is_not_read_is_not_computed(model: LoadedModel, selected: SelectedModel) -> None:
    """At first four parts are under way. Then two more for each that is read, until eight are held."""
    model.loop = asyncio.get_running_loop()
    results = infer_parts(selected, split_parts(texts_of(20_000)), Options(), Lane.BULK)
    model.gate.clear()
    first = asyncio.ensure_future(anext(results))
    assert await stable_waiting(selected) == FIRST_PARTS * PART_TEXTS
    model.gate.set()
    await first
    computed = []
    for _ in range(6):
        assert await stable_waiting(selected) == 0
        computed.append(sum(map(len, model.batches)) // PART_TEXTS)
        await anext(results)
    assert computed == [4, 6, 8, 10, 12, 13]
    await results.aclose()


async def test_large_results_are_bounded_in_bytes(model: LoadedModel, selected: SelectedModel) -> None:
    async def large() -> AsyncIterator[TextPart]:
        for number in range(10):
            yield TextPart([f"text {number}"], MAX_PART_RESULT_BYTES // 2)

    model.loop = asyncio.get_running_loop()
    model.gate.clear()
    task = asyncio.create_task(answers(selected, large()))
    assert await stable_waiting(selected) == 2
    model.gate.set()
    assert await task == [f"TEXT {number}" for number in range(10)]


async def test_a_call_that_ends_early_leaves_the_queue(model: LoadedModel, selected: SelectedModel) -> None:
    model.loop = asyncio.get_running_loop()
    model.gate.clear()
    task = asyncio.create_task(answers(selected, split_parts(texts_of(5000))))
    assert await stable_waiting(selected) == FIRST_PARTS * PART_TEXTS
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stable_waiting(selected) == 0
    model.gate.set()
    assert len(model.batches) <= 1
