"""Estimates of compute time, which are rather too low than too high."""

from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from qda_worker.models.base import LengthUnit, LongText, Options
from qda_worker.scheduling.throughput import (
    HALF_LIFE_SECONDS,
    ThroughputEstimator,
    sum_by_class,
    text_cost,
)
from tests.support.echo_model import MAX_LENGTH, EchoModel

INFO: Final = EchoModel().info


@dataclass
class Measured:
    """An estimator on a clock that the test sets."""

    now: float = 0.0
    throughput: ThroughputEstimator = field(init=False)

    def __post_init__(self) -> None:
        self.throughput = ThroughputEstimator(lambda: self.now)

    def record(self, seconds: float, *, cost: float = 100.0, times: int = 1, full: bool = True) -> None:
        for _ in range(times):
            self.throughput.record_batch([cost], seconds, full=full)

    def estimate(self, cost: int = 100, count: int = 1) -> float:
        return self.throughput.estimate_seconds(sum_by_class([cost] * count))


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_without_a_measurement_the_estimate_is_zero(measured: Measured) -> None:
    assert measured.estimate() == measured.estimate(1000) == 0.0


def test_texts_of_a_measured_length_class_get_the_measured_time(measured: Measured) -> None:
    measured.throughput.record_batch([100.0] * 10, 2.0)
    measured.throughput.record_batch([100.0] * 10, 2.0)
    assert measured.estimate(100, 5) == pytest.approx(1.0)


def test_a_length_class_without_a_measurement_counts_as_zero(measured: Measured) -> None:
    """Long texts cost more per character, so their throughput does not tell that of short ones."""
    measured.record(10.0, cost=8000.0, times=2)
    assert measured.estimate(20, 1000) == 0.0
    measured.record(0.001, cost=20.0, times=2)
    assert measured.estimate(20, 1000) == pytest.approx(1.0)
    assert measured.estimate(8000) == pytest.approx(10.0)


def test_the_first_batch_alone_is_not_believed(measured: Measured) -> None:
    measured.record(4.0)
    assert measured.estimate() == 0.0
    measured.record(0.1)
    assert measured.estimate() == pytest.approx(0.1)


def test_a_faster_measurement_counts_more_than_a_slower_one(measured: Measured) -> None:
    measured.record(1.0, times=2)
    measured.record(0.5)
    assert measured.estimate() == pytest.approx(0.75)
    measured.record(1.75)
    assert measured.estimate() == pytest.approx(0.80)


def test_an_estimate_without_samples_is_halved_again_and_again(measured: Measured) -> None:
    measured.record(8.0, times=2)
    measured.now += HALF_LIFE_SECONDS
    assert measured.estimate() == pytest.approx(4.0)
    measured.now += 4 * HALF_LIFE_SECONDS
    assert measured.estimate() == pytest.approx(0.25)
    assert not measured.throughput.recent


def test_samples_of_another_length_do_not_stop_the_decay(measured: Measured) -> None:
    measured.record(8.0, times=2)
    for _ in range(10):
        measured.now += HALF_LIFE_SECONDS / 5
        measured.record(1.0, cost=5000.0)
    assert measured.estimate() == pytest.approx(2.0)
    assert measured.throughput.recent


def test_a_sample_restores_an_estimate_that_has_decayed(measured: Measured) -> None:
    measured.record(8.0, times=2)
    measured.now += 10 * HALF_LIFE_SECONDS
    measured.record(7.0)
    assert measured.estimate() == pytest.approx(7.0)


def test_steady_slow_batches_do_not_decay(measured: Measured) -> None:
    for _ in range(50):
        measured.now += HALF_LIFE_SECONDS
        measured.record(5.0)
    assert measured.estimate() == pytest.approx(5.0)


def test_a_small_batch_counts_if_it_was_faster_than_believed(measured: Measured) -> None:
    measured.record(1.0, times=2)
    measured.record(9.0, full=False)
    assert measured.estimate() == pytest.approx(1.0)
    measured.record(0.2, full=False)
    assert measured.estimate() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("length", "policy", "cost"),
    [
        (10, LongText.CUT, 10),
        (10_000_000, LongText.CUT, MAX_LENGTH * 8),
        (10_000_000, LongText.ERROR, MAX_LENGTH * 8),
        (10_000, LongText.WINDOW, 10_000),
        (0, LongText.CUT, 1),
    ],
)
def test_the_part_that_is_cut_off_costs_nothing(length: int, policy: LongText, cost: int) -> None:
    assert text_cost("x" * length, Options(policy), INFO) == cost


def test_a_limit_in_characters_is_not_converted() -> None:
    assert text_cost("x" * 99, Options(), replace(INFO, length_unit=LengthUnit.CHARACTERS)) == MAX_LENGTH
