"""A measurement ends in time on any CPU, and finds the batch size at which an engine is fastest per token."""

import math
from collections.abc import Mapping

import pytest

from qda_worker.models.engines.base import EngineName
from qda_worker.models.engines.measurement import BATCH_TOKENS, MEASUREMENT_SECONDS, Measurement
from tests.support.timed_engine import Clock, TimedEngine


def linear(per_text: float, *, first_text: float = 0.0) -> dict[int, float]:
    return {texts: first_text + per_text * texts for texts in (1, 2, 4, 8, 16, 32, 64, 128)}


@pytest.mark.parametrize("per_text", [0.0001, 0.003, 0.02, 0.1, 0.3, 0.9, 5.0])
def test_a_measurement_takes_two_seconds_at_most_on_any_cpu(per_text: float) -> None:
    clock = Clock()
    slow, fast = (
        TimedEngine(EngineName.TORCH, linear(per_text), clock, layers=24),
        TimedEngine(EngineName.OPENVINO, linear(per_text * 0.7), clock, layers=24),
    )
    measurement = Measurement(8, clock=clock)

    single = measurement.compare_single([slow, fast], None)
    measurement.compare_batch([slow, fast], single, None)
    measurement.batch_tokens(fast)

    longest_layer = max(linear(per_text).values()) / 24
    assert clock.now <= MEASUREMENT_SECONDS + min(longest_layer, per_text * 32 / 24)


def test_a_first_pass_that_is_slow_does_not_count() -> None:
    clock = Clock()
    engine = TimedEngine(EngineName.TORCH, {1: 0.05}, clock, first=0.3)

    assert Measurement(8, clock=clock).compare_single([engine], None) == [pytest.approx(0.05)]


def test_the_slow_first_pass_of_openvino_does_not_count_even_if_there_is_time_for_one_repetition_only() -> (
    None
):
    clock = Clock()
    plain = TimedEngine(EngineName.TORCH, linear(0.05), clock)
    other = TimedEngine(EngineName.OPENVINO, linear(0.045), clock, first=0.1)
    measurement = Measurement(8, clock=clock)

    batch = measurement.compare_batch([plain, other], measurement.compare_single([plain, other], None), None)

    texts = measurement.timings[-1].texts
    assert batch is not None
    assert batch == [pytest.approx(0.05 * texts), pytest.approx(0.045 * texts)]
    assert (plain.passes.count(texts), other.passes.count(texts)) == (1, 2)


@pytest.mark.parametrize(
    ("seconds", "passes"), [((0.01, 0.02), 2), ((0.01, 0.011), 3)], ids=["clear", "steady"]
)
def test_a_comparison_ends_when_more_repetitions_would_change_nothing(
    seconds: tuple[float, float], passes: int
) -> None:
    clock = Clock()
    plain = TimedEngine(EngineName.TORCH, {1: seconds[0]}, clock)
    other = TimedEngine(EngineName.OPENVINO, {1: seconds[1]}, clock)

    Measurement(8, clock=clock).compare_single([plain, other], None)

    assert (len(plain.passes), len(other.passes)) == (passes, passes + 1)


def test_the_time_of_other_work_at_pause_points_does_not_count() -> None:
    clock = Clock()
    engine = TimedEngine(EngineName.TORCH, {1: 0.05, 32: 0.4}, clock)

    def give_way() -> bool:
        clock.now += 0.7
        return True

    measurement = Measurement(8, clock=clock, give_way=give_way)

    assert measurement.compare_single([engine], None) == [pytest.approx(0.05)]
    batch = measurement.compare_batch([engine], [0.05], None)
    assert batch is not None
    assert batch == [pytest.approx(0.4)]


def test_a_pass_that_does_not_end_in_time_has_no_result() -> None:
    clock = Clock()
    engine = TimedEngine(EngineName.TORCH, {1: 60.0}, clock, layers=12)
    measurement = Measurement(8, clock=clock)

    assert measurement.compare_single([engine], None) == [math.inf]
    assert clock.now < 10
    assert measurement.timings == ()


def test_an_engine_without_pause_points_is_not_begun_when_too_little_time_is_left() -> None:
    clock = Clock()
    torch = TimedEngine(EngineName.TORCH, {1: 1.2}, clock, layers=12)
    other = TimedEngine(EngineName.OPENVINO, {1: 1.2}, clock, layers=1)
    measurement = Measurement(8, clock=clock)

    assert measurement.compare_single([torch, other], None) == [pytest.approx(1.2), math.inf]
    assert other.passes == []


def test_a_batch_has_as_many_texts_as_the_time_allows() -> None:
    clock = Clock()
    engine = TimedEngine(EngineName.TORCH, linear(0.05, first_text=0.05), clock)
    measurement = Measurement(8, clock=clock)

    measurement.compare_batch([engine], measurement.compare_single([engine], None), None)

    assert [(one.texts, one.tokens) for one in measurement.timings] == [(1, 32), (16, 32)]


@pytest.mark.parametrize(
    ("seconds", "tokens"),
    [
        ({1: 0.01, 32: 0.10, 64: 0.20, 128: 0.40}, 1024),  # no gain
        ({1: 0.01, 32: 0.10, 64: 0.15, 128: 0.30}, 2048),
        ({1: 0.01, 32: 0.40, 64: 0.41}, 1024),  # a batch of 2,048 tokens might take too long
        ({1: 0.9}, 1024),  # not even one batch was measured
    ],
)
def test_the_batch_size_is_that_with_most_tokens_a_second(seconds: Mapping[int, float], tokens: int) -> None:
    clock = Clock()
    engine = TimedEngine(EngineName.TORCH, seconds, clock)
    measurement = Measurement(8, clock=clock, seconds=20.0 if len(seconds) > 1 else 2.0)

    measurement.compare_batch([engine], measurement.compare_single([engine], None), None)

    assert measurement.batch_tokens(engine) == tokens
    assert tokens in BATCH_TOKENS
