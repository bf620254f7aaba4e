"""A worker under ten times its load answers nearly as many texts in time as it can compute, and refuses the others."""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from itertools import count
from typing import Any, Final

import pytest

from qda_worker.errors import DeadlineTooShort, QueueFull
from qda_worker.models.base import Unit
from qda_worker.models.batch_budget import BatchBudget
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT, QueueHarness

# Seconds that a full batch of texts of similar lengths takes: of 10 to 20 characters, 128 of 160 that it has room for.
_BATCH_SECONDS: Final = 0.05 + 0.95 * 128 / 160
# Texts in a full batch.
_BATCH_TEXTS: Final = 8
# Seconds between two calls of 4 texts: ten times what the model computes.
_INTERVAL: Final = 0.05


class OverloadedModel(EchoModel):
    """Takes time of the test's clock for each batch and its padded texts; meanwhile calls arrive, until `until`."""

    harness: QueueHarness
    counted_from = until = 0.0
    seconds = 3.0
    slower = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.in_time = self.refused = 0
        self.over = threading.Event()
        self._random = random.Random(1)
        self._next = 0.0

    @property
    def budget(self) -> BatchBudget:
        """Return a budget whose overhead is the constant part of the time that a batch takes."""
        budget = super().budget
        return replace(budget, overhead=round(0.05 * budget.length))

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        """Let time pass, and calls arrive in it."""
        cost = self.budget.cost([unit.length for unit in units])
        end = self.harness.now + self.slower * (0.05 + 0.95 * cost / self.budget.length)
        self._next = max(self._next, self.harness.now)
        while self._next <= end and self._next < self.until:
            self.harness.now = self._next
            self._arrive()
            self._next += _INTERVAL
        self.harness.now = end
        self.harness.wait_for_tokenizer()
        if end >= self.until:
            self.over.set()
        return super().compute(units)

    def _arrive(self) -> None:
        texts = [str(self._random.random()).ljust(20, "x")[: self._random.randint(10, 20)] for _ in range(4)]
        arrival, deadline = self.harness.now, self.harness.now + self.seconds
        try:
            future = self.harness.queue.submit(texts, deadline=deadline)
        except (DeadlineTooShort, QueueFull):  # the queue is full before the throughput is known
            self.refused += 1
        else:
            future.add_done_callback(lambda done: self._ended(done, arrival, deadline))

    def _ended(self, future: Future[Any], arrival: float, deadline: float) -> None:
        if future.exception() is None and self.harness.now < deadline and arrival >= self.counted_from:
            self.in_time += 4


@pytest.mark.parametrize("seconds", [2.5, 4.0, 12.0])
def test_ten_times_the_load_is_answered_in_time_as_far_as_the_model_can(
    pool: Executor, seconds: float
) -> None:
    model = OverloadedModel()
    model.harness = harness = QueueHarness(pool, model)
    model.seconds = seconds
    model.counted_from = harness.now + 2 * seconds + 5
    model.until = model.counted_from + 80
    numbers = count()
    while not model.over.wait(0.01):
        if not harness.queue.waiting:  # calls arrive only while the model computes
            harness.queue.submit([f"text {next(numbers)}"])
    harness.queue.close(drain=True, timeout=WAIT)
    assert model.in_time >= 0.9 * 80 * _BATCH_TEXTS / _BATCH_SECONDS
    assert model.refused > 1000
