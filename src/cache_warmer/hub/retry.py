"""Retry policy: how often a request is sent again, after which wait, and how the wait is interrupted.

Exponential backoff with jitter: waits double, and each is drawn at random from the upper half of its span, so that
pods that failed together do not retry together ("equal jitter" in "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015). `Retry-After` (RFC 9110, section 10.2.3) is honoured: no retry comes sooner than a server asks.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """Limits of the retries, and clock, random numbers and sleep as replaceable functions.

    Attributes:
        attempts: tries in all, including the first.
        first: seconds before the second try, before jitter.
        max_delay: upper limit in seconds of a wait that no server asked for.
        max_retry_after: longest `Retry-After` in seconds that is waited for; a longer one ends the run.
        sleep: waits this many seconds; raises if the run must stop.
        random: returns a random number from 0 to 1.
        now: returns seconds since the epoch, for a `Retry-After` that is a date.
    """

    attempts: int = 6
    first: float = 0.5
    max_delay: float = 8.0
    max_retry_after: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    now: Callable[[], float] = time.time

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after this many failures in a row (at least one)."""
        span = min(self.max_delay, self.first * 2.0 ** (failures - 1))
        return span / 2 + span / 2 * self.random()


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait.

    Args:
        value: the header, seconds or an HTTP date; None if there is none.
        now: seconds since the epoch.

    Returns:
        Seconds, at least 0; None if the header is missing or is neither.
    """
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
