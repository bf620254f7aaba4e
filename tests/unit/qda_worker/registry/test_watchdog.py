"""Models that hang or stay away are told; those that are merely slow are left alone."""

from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import structlog

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from qda_worker.models.base import LengthUnit, ModelInfo, model_info
from qda_worker.registry.registry import ModelRegistry, ModelState
from qda_worker.registry.watchdog import AWAY_SECONDS, ModelWatchdog
from qda_worker.scheduling.workers import BatchProgress

MODEL: Final = Model("one", Task.EMBEDDING, HuggingFaceSource("o/r", "0" * 40, ("*",)))


@dataclass
class FakeEngine:
    """A model and its queue, as the watchdog sees them."""

    can_abort: bool = False
    away_seconds: float = 0.0
    batch: BatchProgress | None = None
    aborted: list[float] = field(default_factory=list)
    unit: LengthUnit = LengthUnit.TOKENS

    @property
    def model(self) -> "FakeEngine":
        return self

    @property
    def queue(self) -> "FakeEngine":
        return self

    @property
    def info(self) -> ModelInfo:
        return model_info(MODEL, max_length=8192, length_unit=self.unit)

    def batch_progress(self) -> BatchProgress | None:
        return self.batch

    def abort(self, seconds: float) -> bool:
        self.aborted.append(seconds)
        return self.can_abort

    def runs(self, age: float, length: int = 10, expected: float = 0.0) -> None:
        self.batch = BatchProgress(age, expected, length)


class World:
    """One served model and a watchdog."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.registry = ModelRegistry(Catalog((MODEL,), "catalog.yaml"), (MODEL,))
        self.served = self.registry.models["one"]
        engine: Any = self.engine
        self.served.state, self.served.engine = ModelState.SERVING, engine
        self.changes = 0
        self.events: list[str] = []
        log = structlog.wrap_logger(None, processors=[self.record])
        self.watchdog = ModelWatchdog(self.registry, self.changed, log, hang_seconds=60.0)

    def record(self, _: object, __: str, event: Any) -> Any:
        self.events.append(event["event"])
        raise structlog.DropEvent

    async def changed(self) -> None:
        self.changes += 1


@pytest.fixture
def world() -> World:
    return World()


async def test_an_idle_or_busy_model_is_left_alone(world: World) -> None:
    await world.watchdog.step()
    world.engine.runs(59.0)
    await world.watchdog.step()
    assert (world.registry.hung, world.registry.all_serving) == (False, True)
    assert (world.changes, world.engine.aborted) == (0, [])


async def test_a_batch_that_can_be_ended_is_and_the_model_serves_on(world: World) -> None:
    world.engine.can_abort = True
    world.engine.runs(61.0)
    await world.watchdog.step()
    assert world.engine.aborted == [60.0]
    assert (world.registry.hung, world.registry.all_serving, world.changes) == (False, True, 0)


async def test_a_model_that_hangs_in_this_process_is_told_until_it_goes_on(world: World) -> None:
    world.engine.runs(61.0)
    for _ in range(3):
        await world.watchdog.step()
    assert (world.registry.hung, world.registry.all_serving, world.changes) == (True, False, 1)
    world.engine.batch = None
    await world.watchdog.step()
    assert (world.registry.hung, world.registry.all_serving, world.changes) == (False, True, 2)
    assert world.events == ["model.hung", "model.resumed"]


@pytest.mark.parametrize(
    ("age", "length", "expected", "unit", "hung"),
    [
        (800.0, 8192, 0.0, LengthUnit.TOKENS, False),  # a throttled worker and a long text, never measured
        (830.0, 8192, 0.0, LengthUnit.TOKENS, True),
        (61.0, 8192, 0.001, LengthUnit.TOKENS, False),  # measured long ago, and the estimate has decayed
        (1900.0, 8192, 100.0, LengthUnit.TOKENS, False),
        (2001.0, 8192, 100.0, LengthUnit.TOKENS, True),
        (61.0, 10_000, 0.0, LengthUnit.CHARACTERS, True),
        (900.0, 1_000_000, 0.0, LengthUnit.CHARACTERS, False),  # a pipeline that reads a text whole
        (61.0, 10_000, 0.2, LengthUnit.CHARACTERS, True),
    ],
)
async def test_long_batches_have_more_time(
    world: World, age: float, length: int, expected: float, unit: LengthUnit, hung: bool
) -> None:
    world.engine.unit = unit
    world.engine.runs(age, length, expected)
    await world.watchdog.step()
    assert world.registry.hung is hung


async def test_readiness_drops_only_if_the_process_stays_away(world: World) -> None:
    world.engine.away_seconds = AWAY_SECONDS - 1
    await world.watchdog.step()
    assert world.registry.is_serving(Task.EMBEDDING)
    world.engine.away_seconds = AWAY_SECONDS + 1
    await world.watchdog.step()
    assert not world.registry.is_serving(Task.EMBEDDING)
    assert not world.registry.hung
    assert world.registry.select("", Task.EMBEDDING).engine is world.served.engine, "its texts wait"
    world.engine.away_seconds = 0.0
    await world.watchdog.step()
    assert world.registry.is_serving(Task.EMBEDDING)
    assert world.events == ["model.interrupted", "model.resumed"]


async def test_a_model_without_an_engine_neither_hangs_nor_is_away(world: World) -> None:
    world.engine.runs(61.0)
    await world.watchdog.step()
    world.served.state, world.served.engine = ModelState.LOADING, None
    await world.watchdog.step()
    assert not world.registry.hung
