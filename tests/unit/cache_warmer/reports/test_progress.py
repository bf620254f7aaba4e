"""The progress counter and its display."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cache_warmer.reports.progress import (
    ProgressCounter,
    ProgressSnapshot,
    format_bar,
    format_duration,
    format_line,
)


def test_a_line_has_bytes_speed_time_left_and_the_current_file() -> None:
    snapshot = ProgressSnapshot(
        1_200_000_000, 3_000_000_000, 3, 17, 12_000_000.0, "org/name: model.safetensors"
    )

    assert format_line(snapshot) == (
        "40 % 1.2 GB of 3.0 GB, 12.0 MB/s, 2 min 30 s left, 3 of 17 files, now: org/name: model.safetensors"
    )


def test_without_a_speed_no_time_left_is_shown() -> None:
    assert format_line(ProgressSnapshot(0, 10, 0, 1, None, "")) == "0 % 0 B of 10 B, 0 of 1 files"


@given(some.integers(0, 10**13), some.integers(0, 10**13), some.integers(1, 400))
def test_a_bar_is_narrower_than_its_terminal(done: int, total: int, columns: int) -> None:
    assert len(format_bar(ProgressSnapshot(done, total, 0, 1, 5.0, "file"), columns)) <= max(1, columns - 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.6, "1 h 0 min"), (5000, "1 h 23 min")],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_speed_is_the_average_of_the_last_seconds() -> None:
    now = [0.0]
    counter = ProgressCounter(lambda: now[0])
    counter.expect(1000, 2)
    snapshot = counter.snapshot()
    for second in range(1, 41):
        now[0] = float(second)
        counter.add(100 if second <= 20 else 10)
        snapshot = counter.snapshot()

    assert snapshot.speed == pytest.approx(10.0)
    assert (snapshot.done, snapshot.total, snapshot.files_total) == (2200, 1000, 2)


def test_files_in_progress_are_named_and_counted_at_their_end() -> None:
    counter = ProgressCounter(lambda: 0.0)
    with counter.track_file("a"), counter.track_file("b"):
        assert counter.snapshot().current == "a (and 1 more)"
    assert counter.snapshot().current == ""
    assert counter.snapshot().files_done == 2


def test_bytes_of_an_earlier_run_do_not_count_for_the_speed() -> None:
    now = [0.0]
    counter = ProgressCounter(lambda: now[0])
    counter.expect(1000, 1)
    counter.snapshot()

    counter.resume(600)
    now[0] = 2.0
    counter.add(100)

    assert (counter.snapshot().done, counter.snapshot().speed) == (700, 50.0)
