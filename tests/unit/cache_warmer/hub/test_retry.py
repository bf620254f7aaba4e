"""Waits between tries, and the header that asks for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cache_warmer.hub.retry import Retry, retry_after


@given(some.integers(1, 60), some.floats(0, 1))
def test_waits_double_up_to_a_limit_and_have_jitter(failures: int, draw: float) -> None:
    retry = Retry(first=0.5, max_delay=8.0, random=lambda: draw)
    whole = min(8.0, 0.5 * 2.0 ** (failures - 1))

    assert whole / 2 <= retry.delay(failures) <= whole


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
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=10.0) == seconds
