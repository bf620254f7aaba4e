"""A limit on the texts that one caller sends to the models, per second.

Each caller has an allowance that grows with the rate, up to `BURST_SECONDS` of it. A call is accepted while there is an
allowance, also if it has more texts than that: the allowance then is negative until the time for them has passed. So no
call is too large for the limit, and over time each caller gets its rate.

A unary call beyond the limit is refused, with the delay after which it will be accepted. A stream waits instead, as it
does for room in the queue: that is its flow control. A unary call may borrow `RESERVE_SECONDS` of the rate that a
stream may not, so that it is accepted also while streams of the same caller use all of it.

Only the event loop uses these values, without a lock.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from qda_worker.errors import CallerLimited

# Seconds of the rate that a caller may save up.
BURST_SECONDS: Final = 10.0
# Seconds of the rate that unary calls may borrow.
RESERVE_SECONDS: Final = 1.0
# Shorter delays are rounding errors of the arithmetic.
_ROUNDING_SECONDS: Final = 1e-6
# Longest sleep of a stream that waits for its turn, in seconds.
_MAX_SLEEP_SECONDS: Final = 5.0
# Number of callers from which on those with a full allowance are forgotten; without tokens any address is one.
_MANY_CALLERS: Final = 1000


@dataclass(slots=True)
class _Allowance:
    texts: float
    updated: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by the one stream that waits next


class TextRates:
    """The allowances of all callers."""

    def __init__(
        self,
        texts_per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Create the limit.

        Args:
            texts_per_second: the rate of each caller.
            clock: seconds, monotonic.
            sleep: waits for some seconds.
        """
        self._rate = texts_per_second
        self._clock = clock
        self._sleep = sleep
        self._allowances: dict[str, _Allowance] = {}

    def budget(self, caller: str) -> "TextBudget":
        """Return the budget of a caller, for one call."""
        return TextBudget(self, caller)

    def take(self, caller: str, texts: int) -> None:
        """Charge the texts of a unary call to a caller.

        Raises:
            CallerLimited: the caller has sent too many.
        """
        self.check(caller)
        self._current(caller).texts -= texts

    def check(self, caller: str) -> None:
        """Refuse the texts of a unary call if `take` would, without charging any.

        Raises:
            CallerLimited: the caller has sent too many.
        """
        delay = self._delay(caller, RESERVE_SECONDS)
        if delay > 0:
            raise CallerLimited(
                f"further texts exceed the {self._rate:g} a second that one caller may send",
                retry_after=delay,
            )

    async def wait(self, caller: str, texts: int) -> None:
        """Wait until a stream may send texts, and charge them. The streams of one caller take turns."""
        allowance = self._current(caller)
        async with allowance.turn:
            while (delay := self._delay(caller)) > 0:
                await self._sleep(min(delay, _MAX_SLEEP_SECONDS))
            self._current(caller).texts -= texts

    def _delay(self, caller: str, reserve_seconds: float = 0.0) -> float:
        """Return the seconds until a caller may send the next texts; 0 if it may do so now.

        Args:
            caller: whom the texts are charged to.
            reserve_seconds: what it may borrow, in seconds of the rate.
        """
        missing = -reserve_seconds - self._current(caller).texts / self._rate
        return missing if missing > _ROUNDING_SECONDS else 0.0

    def _current(self, caller: str) -> _Allowance:
        now, full = self._clock(), self._rate * BURST_SECONDS
        allowance = self._allowances.get(caller)
        if allowance is None:
            if len(self._allowances) >= _MANY_CALLERS:
                self._forget_full(now)
            allowance = self._allowances[caller] = _Allowance(full, now)
        allowance.texts = min(full, allowance.texts + (now - allowance.updated) * self._rate)
        allowance.updated = now
        return allowance

    def _forget_full(self, now: float) -> None:
        """Forget the callers whose allowance is full by now: a new one would be the same."""
        full = self._rate * BURST_SECONDS
        self._allowances = {
            caller: allowance
            for caller, allowance in self._allowances.items()
            if allowance.turn.locked() or allowance.texts + (now - allowance.updated) * self._rate < full
        }


@dataclass(frozen=True, slots=True)
class TextBudget:
    """The allowance of the caller of one call."""

    rates: TextRates
    caller: str

    def check(self) -> None:
        """Charge nothing. Raises CallerLimited if the caller has sent too many texts for a further unary call."""
        self.rates.check(self.caller)

    def take(self, texts: int) -> None:
        """Charge the texts of a unary call. Raises CallerLimited if the caller has sent too many."""
        self.rates.take(self.caller, texts)

    async def wait(self, texts: int) -> None:
        """Wait until a stream may send texts, and charge them."""
        await self.rates.wait(self.caller, texts)
