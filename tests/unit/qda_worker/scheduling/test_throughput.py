"""Estimates of compute time, which are rather too low than too high."""

from dataclasses import replace
from typing import Final

import pytest

from qda_worker.models.base import LengthUnit, LongText, Options
from qda_worker.scheduling.throughput import ThroughputEstimator, text_cost
from tests.support.echo_model import MAX_LENGTH, EchoModel

INFO: Final = EchoModel().info


def test_without_a_measurement_the_estimate_is_zero() -> None:
    assert ThroughputEstimator().estimate_seconds([10, 1000]) == 0.0


def test_texts_of_a_measured_length_class_get_the_measured_time() -> None:
    throughput = ThroughputEstimator()
    throughput.record_batch([100.0] * 10, 2.0)
    assert throughput.estimate_seconds([100] * 5) == pytest.approx(1.0)


def test_a_length_class_without_a_measurement_counts_as_zero() -> None:
    """Long texts cost more per character, so their throughput does not tell that of short ones."""
    throughput = ThroughputEstimator()
    throughput.record_batch([8000.0] * 4, 40.0)
    assert throughput.estimate_seconds([20] * 1000) == 0.0
    throughput.record_batch([20.0] * 100, 0.1)
    assert throughput.estimate_seconds([20] * 1000) == pytest.approx(1.0)
    assert throughput.estimate_seconds([8000]) == pytest.approx(10.0)


def test_a_faster_measurement_counts_more_than_a_slower_one() -> None:
    throughput = ThroughputEstimator()
    throughput.record_batch([100.0], 1.0)
    throughput.record_batch([100.0], 0.5)
    assert throughput.estimate_seconds([100]) == pytest.approx(0.75)
    throughput.record_batch([100.0], 1.75)
    assert throughput.estimate_seconds([100]) == pytest.approx(0.80)


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
