"""Models on their way into service: waiting, loading, failing, dying and being reloaded."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from model_cache.check.deep_check_record import DeepCheck
from model_cache.check.types import CheckReport, ModelReport, Problem, Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from qda_worker.errors import DeviceLost, LoadInterrupted, ModelUnusable
from qda_worker.registry.cache_watch import CacheUnusable, CacheWatch, CacheWatchDeps
from qda_worker.registry.registry import ModelRegistry, ModelState

PLACES: Final = resolve_places("/cache", {}, Path("/home"))
KEYS: Final = ("one", "two")


@dataclass
class FakeEngine:
    """Records whether it was closed."""

    closed: bool = False
    log_fields: Mapping[str, object] = field(default_factory=lambda: {"engines": ["torch"]})

    def close(self, timeout: float) -> None:
        self.closed = True


@dataclass
class WatchHarness:
    """A cache and models controlled by the test, with a clock that the test sets."""

    folder: Path
    missing: set[str] = field(default_factory=set)
    unloadable: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)  # their device has failed
    interrupted: set[str] = field(default_factory=set)  # their process ends during the load
    dying: set[str] = field(default_factory=set)  # they die before their load has returned
    loads: list[str] = field(default_factory=list)
    deaths: dict[str, Callable[[str], None]] = field(default_factory=dict)
    now: float = 0.0
    changes: int = 0
    checks: int = 0
    waiting: bool = False
    logged: list[dict[str, Any]] = field(default_factory=list)
    deep_check: DeepCheck | None = None

    def __post_init__(self) -> None:
        models = tuple(Model(key, Task.SENTIMENT, HuggingFaceSource("o/r", "0" * 40, ("*",))) for key in KEYS)
        self.registry = ModelRegistry(Catalog(models, "catalog.yaml"), models)
        for key in KEYS:
            (self.folder / key).mkdir()
            (self.folder / key / "weights").write_text("1")

    def watch(self, *, strict: bool = False, reload_mended: bool = False) -> CacheWatch:
        deps = CacheWatchDeps(
            check=self.check,
            load=self.load,
            paths={key: self.folder / key for key in KEYS},
            on_change=self.changed,
            is_waiting=lambda: self.waiting,
            deep_check=lambda: self.deep_check,
            clock=lambda: self.now,
        )
        log = structlog.wrap_logger(None, processors=[self.record])
        return CacheWatch(self.registry, deps, log, strict=strict, interval=30.0, reload_mended=reload_mended)

    def record(self, _: object, name: str, event: Any) -> Any:
        self.logged.append({"level": name, **event})
        raise structlog.DropEvent

    def events(self) -> list[str]:
        return [line["event"] for line in self.logged]

    async def changed(self) -> None:
        self.changes += 1

    def check(self) -> CheckReport:
        self.checks += 1
        reports = tuple(self.report(key) for key in KEYS)
        reason = Reason.CACHE_INCOMPLETE if self.missing else Reason.OK
        return CheckReport(reason, "g", "/cache", Tier.FAST, 1, 1, 0.0, reports, (), PLACES)

    def report(self, key: str) -> ModelReport:
        gone = Problem(
            f"/cache/{key}/weights", Reason.CACHE_INCOMPLETE, "is missing", "run `cache-warmer warm`"
        )
        problems = (gone,) if key in self.missing else ()
        reason = Reason.CACHE_INCOMPLETE if problems else Reason.OK
        return ModelReport(key, Task.SENTIMENT, "o/r", "0" * 40, reason, 1, 1, f"/cache/{key}", problems)

    def load(self, model: Model, on_failure: Callable[[str], None]) -> Any:
        self.loads.append(model.key)
        if model.key in self.unloadable:
            raise ModelUnusable("the file is cut", "repair it")
        if model.key in self.lost:
            raise DeviceLost("the CUDA device failed", "restart the worker")
        if model.key in self.interrupted:
            raise LoadInterrupted("its process ended by signal 9", "does it have enough memory?")
        self.deaths[model.key] = on_failure
        if model.key in self.dying:
            on_failure("its process ended by signal 9")
        return FakeEngine()

    def states(self) -> list[ModelState]:
        return [served.state for served in self.registry.models.values()]


async def wait_for(condition: Callable[[], bool]) -> None:
    """Let the event loop run until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never held")


@pytest.fixture
def harness(tmp_path: Path) -> WatchHarness:
    return WatchHarness(tmp_path)


async def test_nothing_is_loaded_before_the_cache_is_complete(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.missing = {"two"}
    await watch.step()
    assert (harness.loads, harness.states()) == ([], [ModelState.WAITING] * 2)
    harness.missing = set()
    await watch.step()
    assert sorted(harness.loads) == ["one", "two"]
    assert harness.states() == [ModelState.SERVING] * 2
    assert harness.changes > 2


async def test_a_failed_load_is_logged_at_once_and_then_every_half_minute(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.unloadable = {"two"}
    for harness.now in (0.0, 2.0, 28.0, 31.0, 40.0, 61.5):
        await watch.step()
    logged = [line for line in harness.logged if line["event"] == "model.unusable"]
    assert [line["model"] for line in logged] == ["two"] * 3
    assert {(line["reason"], line["detail"], line["remedy"]) for line in logged} == {
        ("MODEL_UNUSABLE", "the file is cut", "repair it")
    }
    assert sorted(harness.loads) == ["one", "two"]  # files that have not changed are not loaded again


async def test_missing_files_are_logged_at_once_and_then_every_half_minute(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.missing = {"two"}
    for harness.now in (0.0, 2.0, 28.0, 31.0, 40.0, 61.5):
        await watch.step()
    assert harness.events() == ["cache.waiting"] * 3
    assert harness.logged[0]["detail"] == "/cache/two/weights: is missing"
    assert harness.logged[0]["remedy"] == "run `cache-warmer warm`"
    assert (harness.logged[0]["models"], harness.logged[0]["files"]) == (["two"], ["/cache/two/weights"])
    harness.missing = {"one", "two"}
    await watch.step()
    assert harness.logged[-1]["models"] == ["one", "two"]
    assert harness.events() == ["cache.waiting"] * 4  # a different problem is logged at once
    assert "1 more" in harness.logged[-1]["detail"]


async def test_a_failed_model_is_loaded_again_only_when_its_files_change(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.unloadable = {"one"}
    await watch.step()
    await watch.step()
    assert sorted(harness.loads) == ["one", "two"]
    assert harness.states() == [ModelState.FAILED, ModelState.SERVING]
    assert harness.registry.models["one"].problem is not None
    repaired = harness.folder / "repaired"
    repaired.write_text("2")
    repaired.replace(harness.folder / "one" / "weights")
    harness.unloadable = set()
    await watch.step()
    assert harness.states() == [ModelState.SERVING] * 2


async def test_a_load_that_was_interrupted_is_repeated_with_the_same_files(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.interrupted.add("two")
    await watch.step()
    assert harness.states() == [ModelState.SERVING, ModelState.FAILED]
    await watch.step()
    harness.interrupted.clear()
    await watch.step()
    assert harness.states() == [ModelState.SERVING] * 2
    assert harness.loads.count("two") == 3


async def test_a_model_that_died_is_reloaded_and_its_old_engine_closed(harness: WatchHarness) -> None:
    watch = harness.watch()
    await watch.step()
    former: Any = harness.registry.models["two"].engine
    harness.deaths["two"]("its process ended by signal 9")
    await wait_for(lambda: "model.died" in harness.events())
    assert harness.states() == [ModelState.SERVING, ModelState.FAILED]
    assert "model.died" in harness.events()
    await watch.step()
    assert harness.states() == [ModelState.SERVING] * 2
    assert former.closed
    assert harness.loads.count("two") == 2


async def test_a_model_that_has_lost_its_device_asks_for_a_restart(harness: WatchHarness) -> None:
    watch = harness.watch()
    await watch.step()
    harness.lost = {"two"}
    harness.deaths["two"]("the CUDA device failed: CUDA error: an illegal memory access was encountered")
    await wait_for(lambda: "model.died" in harness.events())
    assert not harness.registry.hung
    await watch.step()
    assert harness.states() == [ModelState.SERVING, ModelState.FAILED]
    assert harness.registry.hung


async def test_a_model_that_dies_while_it_is_loaded_does_not_serve(harness: WatchHarness) -> None:
    watch = harness.watch()
    harness.dying = {"two"}
    await watch.step()
    await wait_for(lambda: "model.died" in harness.events())
    assert harness.states() == [ModelState.SERVING, ModelState.FAILED]
    harness.dying = set()
    await watch.step()
    assert harness.states() == [ModelState.SERVING] * 2


async def test_the_death_of_a_replaced_engine_does_not_concern_the_new_one(harness: WatchHarness) -> None:
    watch = harness.watch()
    await watch.step()
    former = harness.deaths["two"]
    former("its process ended by signal 9")
    await wait_for(lambda: "model.died" in harness.events())
    await watch.step()
    former("again")
    await asyncio.sleep(0.05)
    assert harness.states() == [ModelState.SERVING] * 2
    assert harness.events().count("model.died") == 1


async def test_loaded_models_keep_serving_when_the_cache_is_damaged(
    harness: WatchHarness,
) -> None:
    watch = harness.watch()
    await watch.step()
    harness.missing = {"one"}
    await watch.step()
    assert harness.states() == [ModelState.SERVING] * 2
    assert not harness.registry.cache_complete
    assert harness.events()[-1] == "cache.damaged"
    harness.missing = set()
    await watch.step()
    assert harness.events()[-1] == "cache.complete"


async def test_a_replaced_file_needs_a_restart_and_a_deleted_one_does_not(harness: WatchHarness) -> None:
    watch = harness.watch()
    await watch.step()
    (harness.folder / "one" / "weights").unlink()
    await watch.step()
    assert not harness.registry.restart_needed
    (harness.folder / "new").write_text("3")  # made while the old inode may already be free again
    (harness.folder / "two" / "other").write_text("4")
    (harness.folder / "new").replace(harness.folder / "two" / "weights")
    await watch.step()
    assert harness.registry.restart_needed


async def test_a_strict_watch_raises_instead_of_waiting(harness: WatchHarness) -> None:
    harness.missing = {"one"}
    with pytest.raises(CacheUnusable) as caught:
        await harness.watch(strict=True).step()
    assert caught.value.reason is Reason.CACHE_INCOMPLETE
    harness.missing, harness.unloadable = set(), {"two"}
    with pytest.raises(CacheUnusable) as caught:
        await harness.watch(strict=True).step()
    assert caught.value.reason is Reason.MODEL_UNUSABLE


async def test_who_asks_gets_a_check_of_the_last_two_seconds(harness: WatchHarness) -> None:
    watch = harness.watch()
    await watch.step()
    assert harness.registry.cache_complete
    harness.missing = {"one"}

    harness.now += 1.0
    await watch.refresh()
    assert harness.registry.cache_complete, "the last check is recent"

    harness.now += 1.5
    await asyncio.gather(*(watch.refresh() for _ in range(50)))
    assert not harness.registry.cache_complete
    assert harness.checks == 2, "fifty callers share one check"
    assert "cache.damaged" in harness.events(), "it is logged at once"


async def test_a_worker_that_waits_for_a_warm_does_not_warn(harness: WatchHarness) -> None:
    harness.missing = {"one"}
    harness.waiting = True
    watch = harness.watch()
    await watch.step()
    harness.waiting = False
    harness.now += 31.0
    await watch.step()

    levels = [line["level"] for line in harness.logged if line["event"] == "cache.waiting"]
    assert levels == ["info", "warning"]
