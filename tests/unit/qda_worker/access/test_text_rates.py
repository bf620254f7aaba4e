"""The limit of texts per second: refused or delayed for exactly as long as it takes, and for one caller only."""

import asyncio

import pytest

from qda_worker.access.text_rates import TextRates
from qda_worker.errors import CallerLimited


class Clock:
    """A clock that sleeping advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> TextRates:
    """Ten texts a second."""
    return TextRates(10, clock, clock.sleep)


def test_a_saved_up_allowance_is_used_first_and_then_calls_are_refused(
    rates: TextRates, clock: Clock
) -> None:
    rates.take("alice", 100)  # ten seconds of the rate
    rates.take("alice", 10)  # the reserve
    rates.take("alice", 25)
    with pytest.raises(CallerLimited, match="further texts exceed the 10 a second") as caught:
        rates.take("alice", 1)
    assert caught.value.retry_after == pytest.approx(2.5)
    rates.take("bob", 100)
    clock.now += caught.value.retry_after
    rates.take("alice", 1)


def test_over_time_a_caller_gets_its_rate_whatever_the_size_of_its_calls(
    rates: TextRates, clock: Clock
) -> None:
    accepted = 0
    while clock.now < 1000:
        try:
            rates.take("alice", 70)
            accepted += 70
        except CallerLimited as error:
            clock.now += error.retry_after
    assert accepted / clock.now == pytest.approx(10, rel=0.02)


async def test_streams_wait_for_their_turns_at_the_rate(rates: TextRates, clock: Clock) -> None:
    order: list[int] = []

    async def send(number: int) -> None:
        await rates.budget("alice").wait(1)
        order.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(300):
            tasks.create_task(send(number))
    assert order == list(range(300))
    assert clock.now == pytest.approx(20, abs=0.2)


async def test_a_call_is_accepted_while_a_stream_of_the_same_caller_uses_the_rate(rates: TextRates) -> None:
    rates.take("alice", 100)
    for _ in range(20):
        await rates.wait("alice", 1)
        rates.take("alice", 1)


async def test_a_stream_that_is_cancelled_leaves_the_turn_to_the_next(rates: TextRates) -> None:
    rates.take("alice", 200)
    first = asyncio.create_task(rates.wait("alice", 1))
    second = asyncio.create_task(rates.wait("alice", 1))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 30)
    assert first.cancelled()


def test_callers_with_a_full_allowance_are_forgotten(rates: TextRates, clock: Clock) -> None:
    rates.take("busy", 1000)
    for number in range(3000):
        clock.now += 0.01
        rates.take(f"ipv4:10.0.{number >> 8}.{number & 255}", 1)
    assert len(rates._allowances) < 1200
    with pytest.raises(CallerLimited):
        rates.take("busy", 1)
