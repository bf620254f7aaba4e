"""The expected time of work follows what calls took that had little more time."""

import pytest

from qda_worker.scheduling.estimate_correction import EstimateCorrection


class Clock:
    """Seconds that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def record(
    correction: EstimateCorrection, clock: Clock, expected: float, elapsed: float, allowed: float
) -> None:
    """Record a call, a second after the one before."""
    clock.now += 1
    correction.record(expected, elapsed, allowed, late=elapsed >= allowed)


def test_calls_that_take_longer_raise_the_factor_to_what_they_took() -> None:
    correction = EstimateCorrection(clock := Clock())
    for _ in range(20):
        record(correction, clock, 2.0, 3.0, 3.1)
    assert correction.factor == pytest.approx(1.5, rel=0.02)


def test_nine_of_ten_calls_take_no_longer_than_corrected() -> None:
    correction = EstimateCorrection(clock := Clock())
    for number in range(1000):
        record(correction, clock, 2.0, 2.0 + (number * 7 % 10) / 5, 4.0)  # factors 1.0 to 1.9
    assert 1.5 <= correction.factor <= 1.9


def test_calls_with_much_time_teach_nothing() -> None:
    correction = EstimateCorrection(Clock())
    correction.record(0.01, 0.1, 60.0, late=False)
    assert correction.factor == 1.0


def test_a_late_call_counts_even_if_it_was_expected_to_have_much_time() -> None:
    correction = EstimateCorrection(Clock())
    correction.record(1.0, 10.0, 10.0, late=True)
    assert correction.factor > 1.5


def test_what_delays_all_waiting_calls_at_once_counts_once() -> None:
    correction, one = EstimateCorrection(Clock()), EstimateCorrection(Clock())
    one.record(1.0, 10.0, 10.0, late=True)
    for _ in range(10):
        correction.record(1.0, 10.0, 10.0, late=True)
    assert correction.factor == one.factor


def test_the_factor_has_limits() -> None:
    correction = EstimateCorrection(clock := Clock())
    for _ in range(500):
        record(correction, clock, 0.001, 10.0, 10.0)
    assert 3.0 <= correction.factor <= 4.0
    for _ in range(500):
        correction.record(10.0, 0.1, 10.0, late=False)
    assert correction.factor >= 0.5


def test_without_calls_the_factor_returns_to_one() -> None:
    clock = Clock()
    correction = EstimateCorrection(clock)
    for _ in range(20):
        record(correction, clock, 1.0, 3.0, 3.0)
    assert correction.factor > 2.8
    clock.now += 300
    assert correction.factor == pytest.approx(1.0, abs=0.01)
