"""The pipeline of a stream: results in order, a bounded number in flight, and an orderly end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from qda_worker.errors import Draining
from qda_worker.services.bounded_stream import BoundedPipeline


async def numbers(count: int, read: list[int]) -> AsyncIterator[int]:
    for number in range(count):
        read.append(number)
        yield number


def pipeline_of(
    elements: AsyncIterator[int],
    process: Callable[[int], Awaitable[int]],
    *,
    size: int = 1,
    draining: asyncio.Event | None = None,
) -> BoundedPipeline[int, int]:
    async def run(number: int) -> int:
        return await process(number)

    return BoundedPipeline(
        elements, run, lambda _: size, draining or asyncio.Event(), max_in_flight=4, max_in_flight_bytes=100
    )


async def turns() -> None:
    """Let every task run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_results_are_in_the_order_of_the_elements() -> None:
    async def later_elements_are_faster(number: int) -> int:
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return number * 10

    pipeline = pipeline_of(numbers(20, []), later_elements_are_faster)
    assert [result async for result in pipeline.results()] == [number * 10 for number in range(20)]


@pytest.mark.parametrize(("size", "max_count"), [(1, 4), (40, 2), (1000, 1)])
async def test_elements_are_not_processed_before_results_are_taken(size: int, max_count: int) -> None:
    """At most four elements or 100 bytes are in flight, but always one; one more is read and waits."""
    read: list[int] = []
    processed: list[int] = []

    async def process(number: int) -> int:
        processed.append(number)
        return number

    results = pipeline_of(numbers(50, read), process, size=size).results()
    assert await anext(results) == 0
    await turns()
    assert (len(processed), len(read)) == (max_count, max_count + 1)
    assert await anext(results) == 1
    await turns()
    assert (len(processed), len(read)) == (max_count + 1, max_count + 2)
    await results.aclose()
    await turns()
    assert len(processed) == max_count + 1


async def test_an_error_of_the_input_comes_after_the_results_before_it() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError

    async def process(number: int) -> int:
        await turns()
        return number

    results = pipeline_of(broken(), process).results()
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(ValueError, match=r"^$"):
        await anext(results)


async def test_an_error_of_an_element_comes_after_the_results_before_it() -> None:
    cancelled = []

    async def process(number: int) -> int:
        if number == 1:
            raise KeyError(number)
        try:
            await (asyncio.Event().wait() if number > 1 else turns())
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    results = pipeline_of(numbers(9, []), process).results()
    assert await anext(results) == 0
    with pytest.raises(KeyError):
        await anext(results)
    await turns()
    assert cancelled == [2, 3]


async def test_closing_early_cancels_the_elements_in_flight() -> None:
    cancelled = []

    async def process(number: int) -> int:
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    results = pipeline_of(numbers(9, []), process).results()
    assert await anext(results) == 0
    await turns()
    await results.aclose()
    await turns()
    assert cancelled == [1, 2, 3]


async def test_an_ending_worker_completes_what_it_accepted_and_reads_no_more() -> None:
    draining, processed = asyncio.Event(), []

    async def process(number: int) -> int:
        processed.append(number)
        return number

    async def three_then_wait() -> AsyncIterator[int]:
        for number in range(3):
            yield number
        await asyncio.Event().wait()

    results = pipeline_of(three_then_wait(), process, draining=draining).results()
    assert await anext(results) == 0
    await turns()
    draining.set()
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(Draining):
        await anext(results)
    assert processed == [0, 1, 2]


async def test_an_element_that_is_read_after_the_end_is_not_processed() -> None:
    draining, processed, gate = asyncio.Event(), [], asyncio.Event()

    async def process(number: int) -> int:
        processed.append(number)
        return number

    async def late() -> AsyncIterator[int]:
        yield 0
        await gate.wait()
        yield 1

    results = pipeline_of(late(), process, draining=draining).results()
    assert await anext(results) == 0
    draining.set()
    with pytest.raises(Draining):
        await anext(results)
    gate.set()
    await turns()
    assert processed == [0]
