"""One thread that tokenises, and a bench for each test."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from tests.support.queue_bench import WAIT, Bench


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def bench(pool: Executor) -> Iterator[Bench]:
    bench = Bench(pool)
    yield bench
    bench.model.gate.set()
    assert bench.queue.close(drain=False, timeout=WAIT)
