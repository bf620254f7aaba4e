"""Retry policy: how often a request is sent again, after which wait, and how the wait is interrupted.

Exponential backoff with jitter: waits double, and each is drawn at random from the upper half of its span, so that
pods that failed together do not retry together ("equal jitter" in "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015). What a server asks for is honoured: no retry comes sooner. It asks with `Retry-After` (RFC 9110, section
10.2.3) or, as huggingface.co does with its 429, with `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-
headers): quotas by name, with `r` requests left, and `t` seconds until there are more, or windows of `w` seconds.

A quota is that of the client and not of a connection, so `SharedPauses` holds all connections to a host until then.
"""

import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

# One quota of a `RateLimit` or `RateLimit-Policy` header: a quoted name or a token, then parameters. The lengths keep
# hostile headers cheap.
_QUOTA: Final = re.compile(r'(?:"([^"]{0,200})"|([\w*:./%-]{1,200}))((?:\s{0,9};\s{0,9}[^;,"]{0,99}){1,20})')
_PARAMETER: Final = re.compile(r";\s*([rtw])\s*=\s*(\d{1,9})\s*(?=;|$)")
# Former drafts: `RateLimit: limit=100, remaining=0, reset=40`, and headers of their own.
_FORMER_RESET: Final = re.compile(r"(?:^|[\s,;])reset=(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Retry:
    """Limits of the retries, and clock, random numbers and sleep as replaceable functions.

    Attributes:
        attempts: tries in all, including the first.
        first: seconds before the second try, before jitter.
        max_delay: upper limit in seconds of a wait that no server asked for.
        max_retry_after: longest wait in seconds that a server may ask for; a longer one ends the run.
        sleep: waits this many seconds; raises if the run must stop.
        random: returns a random number from 0 to 1.
        now: returns seconds since the epoch, for a `Retry-After` that is a date.
        clock: returns seconds that only grow, for pauses.
    """

    attempts: int = 6
    first: float = 0.5
    max_delay: float = 8.0
    max_retry_after: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic

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
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # asctime, or the zone -0000: HTTP dates are in UTC
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def requested_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a refusal asks to wait, by `Retry-After` or else by `RateLimit`.

    Args:
        headers: of the response; a mapping that ignores the case of names.
        now: seconds since the epoch.

    Returns:
        Seconds, at least 0; None if it names no time.
    """
    seconds = retry_after(headers.get("Retry-After"), now)
    if seconds is not None:
        return seconds
    return _rate_limit_reset(headers)


def _rate_limit_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until all exhausted quotas are renewed; if none is exhausted, until all quotas are."""
    value = headers.get("RateLimit", "")
    windows = dict(_quotas(headers.get("RateLimit-Policy", "")))
    all_waits, exhausted = list[int](), list[int]()
    for name, quota in _quotas(value):
        wait = quota.get("t", windows.get(name, {}).get("w"))
        if wait is not None:
            all_waits.append(wait)
            if quota.get("r", 0) == 0:
                exhausted.append(wait)
    if all_waits:
        return float(max(exhausted or all_waits))
    former = _FORMER_RESET.search(value)
    text = former[1] if former else headers.get("RateLimit-Reset", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _quotas(value: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield name and parameters of the quotas in a header, whose syntax is that of structured fields (RFC 9651)."""
    for match in _QUOTA.finditer(value[:4000]):
        yield match[1] or match[2] or "", {name: int(number) for name, number in _PARAMETER.findall(match[3])}


class SharedPauses:
    """Until when the hosts asked all connections to wait. Thread-safe."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._lock = threading.Lock()
        # By host: the end of the pause, by `retry.clock`.
        self._ends: dict[str, float] = {}

    def extend(self, host: str, seconds: float) -> None:
        """Let all requests to a host wait for at least so many seconds from now on."""
        end = self._retry.clock() + seconds
        with self._lock:
            self._ends[host] = max(end, self._ends.get(host, end))

    def wait(self, host: str, at_least: float = 0.0) -> None:
        """Wait until the pause of a host is over, and at least so many seconds.

        Raises:
            Interrupted: the run was cancelled.
        """
        start = self._retry.clock()
        end = max(start + at_least, self._end(host))
        if end > start:
            # what was asked for, without the rounding of the clock
            self._retry.sleep(max(at_least, end - start))
        while (later := self._end(host)) > end:  # another connection was asked to wait longer
            self._retry.sleep(later - end)
            end = later

    def _end(self, host: str) -> float:
        with self._lock:
            return self._ends.get(host, 0.0)
