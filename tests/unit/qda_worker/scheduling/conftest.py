"""A tokenizer pool of one thread, and a queue harness for each test."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from tests.support.queue_harness import WAIT, QueueHarness


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def harness(pool: Executor) -> Iterator[QueueHarness]:
    harness = QueueHarness(pool)
    yield harness
    harness.model.gate.set()
    assert harness.queue.close(drain=False, timeout=WAIT)
