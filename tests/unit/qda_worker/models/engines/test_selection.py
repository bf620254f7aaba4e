"""The fastest engine is chosen by measurement, for one text and for batches separately; torch if it hardly matters."""

from collections.abc import Mapping

import pytest

from qda_worker.models.engines.base import EngineChoice, EngineName
from qda_worker.models.engines.measurement import Measurement
from qda_worker.models.engines.selection import choose
from tests.support.timed_engine import Clock, TimedEngine


def engines(
    torch_seconds: Mapping[int, float], other_seconds: Mapping[int, float], *, difference: float = 0.0
) -> tuple[Measurement, list[TimedEngine]]:
    clock = Clock()
    return Measurement(8, clock=clock), [
        TimedEngine(EngineName.TORCH, torch_seconds, clock),
        TimedEngine(EngineName.OPENVINO, other_seconds, clock, difference=difference),
    ]


@pytest.mark.parametrize(
    ("torch_seconds", "other_seconds", "single", "batch"),
    [
        ((0.01, 0.3), (0.005, 0.2), EngineName.OPENVINO, EngineName.OPENVINO),
        ((0.01, 0.3), (0.005, 0.4), EngineName.OPENVINO, EngineName.TORCH),
        ((0.01, 0.3), (0.02, 0.2), EngineName.TORCH, EngineName.OPENVINO),
        ((0.01, 0.3), (0.02, 0.4), EngineName.TORCH, EngineName.TORCH),
        ((0.01, 0.3), (0.0098, 0.297), EngineName.TORCH, EngineName.TORCH),
        ((0.01, 0.3), (0.0098, 0.29), EngineName.TORCH, EngineName.OPENVINO),  # it leaves padding out
    ],
)
def test_each_shape_has_its_fastest_engine(
    torch_seconds: tuple[float, float],
    other_seconds: tuple[float, float],
    single: EngineName,
    batch: EngineName,
) -> None:
    measurement, (plain, other) = engines(
        dict(zip((1, 32), torch_seconds, strict=True)), dict(zip((1, 32), other_seconds, strict=True))
    )

    choice = choose([plain, other], plain, measurement)

    assert (choice.single.name, choice.batch.name, choice.long.name) == (single, batch, EngineName.TORCH)
    assert choice.names == ((single,) if single is batch else (single, batch))


def test_an_engine_that_differs_on_a_measured_shape_is_not_chosen() -> None:
    measurement, (plain, other) = engines({1: 0.1, 8: 0.4}, {1: 0.05, 8: 0.2}, difference=1e-2)

    assert choose([plain, other], plain, measurement).names == (EngineName.TORCH,)


def test_an_engine_that_raises_while_it_is_measured_is_not_chosen() -> None:
    measurement, (plain, other) = engines({1: 0.1, 16: 0.4}, {})

    assert choose([plain, other], plain, measurement).names == (EngineName.TORCH,)


def test_without_time_for_a_batch_one_text_decides() -> None:
    measurement, (plain, other) = engines({1: 1.0}, {1: 0.5})
    assert choose([plain, other], plain, measurement).names == (EngineName.OPENVINO,)

    measurement, (plain, other) = engines({1: 1.0}, {1: 0.97})
    assert choose([plain, other], plain, measurement).names == (EngineName.TORCH,)


def test_one_text_batches_and_long_texts_have_their_engines() -> None:
    _, (plain, other) = engines({}, {})
    choice = EngineChoice(single=other, batch=plain, long=plain, single_tokens=128, long_tokens=1024)

    assert choice.engine_for(1, 128) is other
    assert choice.engine_for(4, 32) is other
    assert choice.engine_for(1, 129) is plain
    assert EngineChoice(single=other, batch=other, long=plain).engine_for(1, 8192) is plain
