"""In order, bounded, and ended in order: what a stream of documents rests on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from qda_worker.errors import Draining
from qda_worker.services.bounded_stream import BoundedPipeline


async def numbers(count: int, read: list[int]) -> AsyncIterator[int]:
    for number in range(count):
        read.append(number)
        yield number


def flow_of(
    incoming: AsyncIterator[int],
    work: Callable[[int], Awaitable[int]],
    *,
    size: int = 1,
    ending: asyncio.Event | None = None,
) -> BoundedPipeline[int, int]:
    async def call(number: int) -> int:
        return await work(number)

    return BoundedPipeline(incoming, call, lambda _: size, ending or asyncio.Event(), most=4, most_bytes=100)


async def turns() -> None:
    """Lets everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_results_come_in_order_whichever_is_ready_first() -> None:
    async def later_ones_are_quicker(number: int) -> int:
        for _ in range(20 - number):
            await asyncio.sleep(0)
        return number * 10

    flow = flow_of(numbers(20, []), later_ones_are_quicker)
    assert [result async for result in flow.results()] == [number * 10 for number in range(20)]


@pytest.mark.parametrize(("size", "most"), [(1, 4), (40, 2), (1000, 1)])
async def test_what_is_not_taken_is_not_worked_on(size: int, most: int) -> None:
    """At most four elements or 100 bytes are under way, but always one, and one more is read and held back."""
    read: list[int] = []
    worked: list[int] = []

    async def work(number: int) -> int:
        worked.append(number)
        return number

    results = flow_of(numbers(50, read), work, size=size).results()
    assert await anext(results) == 0
    await turns()
    assert (len(worked), len(read)) == (most, most + 1)
    assert await anext(results) == 1
    await turns()
    assert (len(worked), len(read)) == (most + 1, most + 2)
    await results.aclose()
    await turns()
    assert len(worked) == most + 1


async def test_an_error_of_the_reading_comes_after_the_results_before_it() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError

    async def work(number: int) -> int:
        await turns()
        return number

    results = flow_of(broken(), work).results()
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(ValueError, match=r"^$"):
        await anext(results)


async def test_an_error_of_the_work_ends_the_flow_after_the_results_before_it() -> None:
    cancelled = []

    async def work(number: int) -> int:
        if number == 1:
            raise KeyError(number)
        try:
            await (asyncio.Event().wait() if number > 1 else turns())
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    results = flow_of(numbers(9, []), work).results()
    assert await anext(results) == 0
    with pytest.raises(KeyError):
        await anext(results)
    await turns()
    assert cancelled == [2, 3]


async def test_closing_in_the_middle_drops_what_is_under_way() -> None:
    cancelled = []

    async def work(number: int) -> int:
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    results = flow_of(numbers(9, []), work).results()
    assert await anext(results) == 0
    await turns()
    await results.aclose()
    await turns()
    assert cancelled == [1, 2, 3]


async def test_an_ending_worker_answers_what_it_accepted_and_reads_no_more() -> None:
    ending, worked = asyncio.Event(), []

    async def work(number: int) -> int:
        worked.append(number)
        return number

    async def then_silence() -> AsyncIterator[int]:
        for number in range(3):
            yield number
        await asyncio.Event().wait()

    results = flow_of(then_silence(), work, ending=ending).results()
    assert await anext(results) == 0
    await turns()
    ending.set()
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(Draining):
        await anext(results)
    assert worked == [0, 1, 2]


async def test_an_element_that_was_read_too_late_is_not_accepted() -> None:
    ending, worked, gate = asyncio.Event(), [], asyncio.Event()

    async def work(number: int) -> int:
        worked.append(number)
        return number

    async def late() -> AsyncIterator[int]:
        yield 0
        await gate.wait()
        yield 1

    results = flow_of(late(), work, ending=ending).results()
    assert await anext(results) == 0
    ending.set()
    with pytest.raises(Draining):
        await anext(results)
    gate.set()
    await turns()
    assert worked == [0]
