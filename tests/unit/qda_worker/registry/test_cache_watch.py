"""The way of models into service: waiting, loading, failing, dying and coming back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from model_cache.check.types import CheckReport, ModelReport, Problem, Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from qda_worker.errors import ModelUnusable
from qda_worker.registry.cache_watch import CacheUnusable, CacheWatch, CacheWatchDeps
from qda_worker.registry.registry import ModelRegistry, State

PLACES: Final = resolve_places("/cache", {}, Path("/home"))
KEYS: Final = ("one", "two")


@dataclass
class FakeEngine:
    """Knows whether it was closed."""

    closed: bool = False

    def close(self, timeout: float) -> None:
        self.closed = True


@dataclass
class World:
    """A cache and models that do what a test says; time passes only when a test lets it."""

    folder: Path
    missing: set[str] = field(default_factory=set)
    unloadable: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    deaths: dict[str, Callable[[str], None]] = field(default_factory=dict)
    now: float = 0.0
    changes: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        models = tuple(Model(key, Task.SENTIMENT, HuggingFaceSource("o/r", "0" * 40, ("*",))) for key in KEYS)
        self.fleet = ModelRegistry(Catalog(models, "catalog.yaml"), models)
        for key in KEYS:
            (self.folder / key).mkdir()
            (self.folder / key / "weights").write_text("1")

    def watch(self, *, strict: bool = False) -> CacheWatch:
        outside = CacheWatchDeps(
            look=self.look,
            load=self.load,
            paths={key: self.folder / key for key in KEYS},
            changed=self.changed,
            clock=lambda: self.now,
        )
        log = structlog.wrap_logger(None, processors=[self.say])
        return CacheWatch(self.fleet, outside, log, strict=strict, interval=30.0)

    def say(self, _: object, name: str, event: Any) -> Any:
        self.said.append({"level": name, **event})
        raise structlog.DropEvent

    def events(self) -> list[str]:
        return [line["event"] for line in self.said]

    async def changed(self) -> None:
        self.changes += 1

    def look(self) -> CheckReport:
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
        self.deaths[model.key] = on_failure
        return FakeEngine()

    def states(self) -> list[State]:
        return [member.state for member in self.fleet.members.values()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_nothing_is_loaded_before_the_cache_is_complete(world: World) -> None:
    watch = world.watch()
    world.missing = {"two"}
    await watch.step()
    assert (world.loads, world.states()) == ([], [State.WAITING] * 2)
    world.missing = set()
    await watch.step()
    assert sorted(world.loads) == ["one", "two"]
    assert world.states() == [State.SERVING] * 2
    assert world.changes > 2


async def test_a_model_that_does_not_load_is_said_at_once_and_then_every_half_minute(world: World) -> None:
    watch = world.watch()
    world.unloadable = {"two"}
    for world.now in (0.0, 2.0, 28.0, 31.0, 40.0, 61.5):
        await watch.step()
    said = [line for line in world.said if line["event"] == "model.unusable"]
    assert [line["model"] for line in said] == ["two"] * 3
    assert {(line["reason"], line["detail"], line["remedy"]) for line in said} == {
        ("MODEL_UNUSABLE", "the file is cut", "repair it")
    }
    assert sorted(world.loads) == ["one", "two"]  # the same files are not tried again


async def test_what_is_missing_is_said_at_once_and_then_every_half_minute(world: World) -> None:
    watch = world.watch()
    world.missing = {"two"}
    for world.now in (0.0, 2.0, 28.0, 31.0, 40.0, 61.5):
        await watch.step()
    assert world.events() == ["cache.waiting"] * 3
    assert world.said[0]["detail"] == "/cache/two/weights: is missing"
    assert world.said[0]["remedy"] == "run `cache-warmer warm`"
    assert (world.said[0]["models"], world.said[0]["files"]) == (["two"], ["/cache/two/weights"])
    world.missing = {"one", "two"}
    await watch.step()
    assert world.said[-1]["models"] == ["one", "two"]
    assert world.events() == ["cache.waiting"] * 4  # other news are said at once
    assert "1 more" in world.said[-1]["detail"]


async def test_a_model_that_does_not_load_is_tried_again_only_when_its_files_change(world: World) -> None:
    watch = world.watch()
    world.unloadable = {"one"}
    await watch.step()
    await watch.step()
    assert sorted(world.loads) == ["one", "two"]
    assert world.states() == [State.FAILED, State.SERVING]
    assert world.fleet.members["one"].trouble is not None
    repaired = world.folder / "repaired"
    repaired.write_text("2")
    repaired.replace(world.folder / "one" / "weights")
    world.unloadable = set()
    await watch.step()
    assert world.states() == [State.SERVING] * 2


async def test_a_model_that_died_is_loaded_anew_and_its_former_self_closed(world: World) -> None:
    watch = world.watch()
    await watch.step()
    former: Any = world.fleet.members["two"].engine
    await watch._died(world.fleet.members["two"], "its process ended by signal 9")
    assert world.states() == [State.SERVING, State.FAILED]
    assert "model.died" in world.events()
    await watch.step()
    assert world.states() == [State.SERVING] * 2
    assert former.closed
    assert world.loads.count("two") == 2


async def test_what_is_loaded_stays_served_when_the_cache_is_damaged_and_the_damage_is_said(
    world: World,
) -> None:
    watch = world.watch()
    await watch.step()
    world.missing = {"one"}
    await watch.step()
    assert world.states() == [State.SERVING] * 2
    assert not world.fleet.complete
    assert world.events()[-1] == "cache.damaged"
    world.missing = set()
    await watch.step()
    assert world.events()[-1] == "cache.complete"


async def test_a_replaced_file_needs_a_restart_and_a_deleted_one_does_not(world: World) -> None:
    watch = world.watch()
    await watch.step()
    (world.folder / "one" / "weights").unlink()
    await watch.step()
    assert not world.fleet.restart_needed
    (world.folder / "new").write_text("3")  # made while the old inode may already be free again
    (world.folder / "two" / "other").write_text("4")
    (world.folder / "new").replace(world.folder / "two" / "weights")
    await watch.step()
    assert world.fleet.restart_needed


async def test_where_nobody_else_mends_it_trouble_is_raised(world: World) -> None:
    world.missing = {"one"}
    with pytest.raises(CacheUnusable) as caught:
        await world.watch(strict=True).step()
    assert caught.value.reason is Reason.CACHE_INCOMPLETE
    world.missing, world.unloadable = set(), {"two"}
    with pytest.raises(CacheUnusable) as caught:
        await world.watch(strict=True).step()
    assert caught.value.reason is Reason.MODEL_UNUSABLE
