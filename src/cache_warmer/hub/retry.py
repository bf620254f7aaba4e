"""When a request is tried again: how often, after how long, and how the wait is interrupted.

Waits double and are drawn at random from the upper half, so that many pods that failed together do not
come back together. `Retry-After` is honoured: we never come back sooner than a server asked.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """Attributes: limits and the outside world of retries.

    Attributes:
        attempts: tries in all, the first one included.
        first: seconds before the second try.
        longest: upper limit in seconds of a wait of our own choice.
        patience: longest `Retry-After` in seconds that is waited for; a longer one ends the run.
        sleep: waits that many seconds; raises if the run shall stop.
        draw: a random number from 0 to 1.
        now: seconds since the epoch, for `Retry-After` as a date.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 8.0
    patience: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random
    now: Callable[[], float] = time.time

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row (at least one)."""
        whole = min(self.longest, self.first * 2.0 ** (failures - 1))
        return whole / 2 + whole / 2 * self.draw()


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, from seconds or an HTTP date; None if neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
