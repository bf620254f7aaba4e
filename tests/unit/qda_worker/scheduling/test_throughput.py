"""What is known of how long texts take, and that it errs on the fast side."""

from dataclasses import replace
from typing import Final

import pytest

from qda_worker.models.base import LengthUnit, LongText, Options
from qda_worker.scheduling.throughput import ThroughputEstimator, text_cost
from tests.support.echo_model import ROOM, EchoModel

INFO: Final = EchoModel().info


def test_without_a_measurement_nothing_takes_any_time() -> None:
    assert ThroughputEstimator().seconds([10, 1000]) == 0.0


def test_texts_of_the_measured_kind_take_what_was_measured() -> None:
    pace = ThroughputEstimator()
    pace.measure([100.0] * 10, 2.0)
    assert pace.seconds([100] * 5) == pytest.approx(1.0)


def test_a_kind_that_was_not_measured_counts_as_nothing() -> None:
    """Long texts are dearer by the character: their pace says nothing of short ones, nor the reverse."""
    pace = ThroughputEstimator()
    pace.measure([8000.0] * 4, 40.0)
    assert pace.seconds([20] * 1000) == 0.0
    pace.measure([20.0] * 100, 0.1)
    assert pace.seconds([20] * 1000) == pytest.approx(1.0)
    assert pace.seconds([8000]) == pytest.approx(10.0)


def test_a_faster_measurement_counts_more_than_a_slower_one() -> None:
    pace = ThroughputEstimator()
    pace.measure([100.0], 1.0)
    pace.measure([100.0], 0.5)
    assert pace.seconds([100]) == pytest.approx(0.75)
    pace.measure([100.0], 1.75)
    assert pace.seconds([100]) == pytest.approx(0.80)


@pytest.mark.parametrize(
    ("length", "policy", "cost"),
    [
        (10, LongText.CUT, 10),
        (10_000_000, LongText.CUT, ROOM * 8),
        (10_000_000, LongText.ERROR, ROOM * 8),
        (10_000, LongText.WINDOW, 10_000),
        (0, LongText.CUT, 1),
    ],
)
def test_what_is_cut_costs_nothing(length: int, policy: LongText, cost: int) -> None:
    assert text_cost("x" * length, Options(policy), INFO) == cost


def test_a_limit_in_characters_is_taken_as_it_is() -> None:
    assert text_cost("x" * 99, Options(), replace(INFO, length_unit=LengthUnit.CHARACTERS)) == ROOM
