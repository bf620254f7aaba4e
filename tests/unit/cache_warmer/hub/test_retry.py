"""Waits between tries, and the headers that ask for one."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as some

from cache_warmer.hub.retry import Retry, SharedPauses, requested_wait, retry_after


@given(some.integers(1, 60), some.floats(0, 1))
def test_waits_double_up_to_a_limit_and_have_jitter(failures: int, draw: float) -> None:
    retry = Retry(first=0.5, max_delay=8.0, random=lambda: draw)
    whole = min(8.0, 0.5 * 2.0 ** (failures - 1))

    assert whole / 2 <= retry.delay(failures) <= whole


@pytest.fixture
def local_time() -> Iterator[None]:
    """Let the local time differ from UTC: dates of headers without a zone are in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-3", 0.0),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Thu Jan  1 00:00:30 1970", 20.0),
        ("Thu, 01 Jan 1970 00:00:30 -0000", 20.0),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    header: str | None, seconds: float | None, local_time: None
) -> None:
    assert retry_after(header, now=10.0) == seconds


POLICY: Final = '"fixed window";"resolvers";q=5000;w=300'


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"resolvers";r=0;t=40', "RateLimit-Policy": POLICY}, 40.0),
        ({"ratelimit": '"api";r=0;t=0'}, 0.0),
        ({"RateLimit": ' "a b, c" ; r = 0 ; t = 12 '}, 12.0),
        ({"RateLimit": '"a";r=3;t=90, "b";r=0;t=20, "c";r=0;t=7'}, 20.0),
        ({"RateLimit": '"a";r=3;t=90'}, 90.0),
        ({"RateLimit": "default;t=5;r=0"}, 5.0),
        ({"RateLimit": '"day";r=0', "RateLimit-Policy": '"day";q=100;w=60, "hour";q=1;w=9'}, 60.0),
        ({"RateLimit": '"day";r=0', "RateLimit-Policy": '"hour";q=1;w=9'}, None),
        ({"RateLimit": "limit=100, remaining=0, reset=30"}, 30.0),
        ({"RateLimit-Reset": "25"}, 25.0),
        ({"RateLimit": '"a";r=0;t=40', "Retry-After": "3"}, 3.0),
        ({"RateLimit": '"a";r=0;t=40', "Retry-After": "soon"}, 40.0),
        ({"RateLimit": '"a";r=0;t=-4'}, None),
        ({"RateLimit": '"a";r=0;t=99999999999999999999'}, None),
        ({"RateLimit": "nonsense"}, None),
        ({"RateLimit": ';;;==,,"' * 10_000}, None),
        ({"RateLimit-Policy": POLICY}, None),
        ({}, None),
    ],
)
def test_the_time_of_a_rate_limit_is_understood(headers: Mapping[str, str], seconds: float | None) -> None:
    assert requested_wait(httpx2.Headers(headers), now=10.0) == seconds


def test_a_pause_is_extended_while_it_is_waited_for() -> None:
    time, sleeps = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        time[0] += seconds
        if len(sleeps) == 1:
            pauses.extend("hub", 5.0)

    pauses = SharedPauses(Retry(sleep=sleep, clock=lambda: time[0]))
    pauses.extend("hub", 10.0)

    pauses.wait("hub")
    pauses.wait("hub")
    pauses.wait("another")

    assert sleeps == [10.0, 5.0]
