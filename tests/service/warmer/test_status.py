"""Whoever waits for a warm sees how far it is, and how the last one ended."""

import io
import json
import time
from collections.abc import Callable
from typing import Any

from model_cache.check.cli import cache_check
from tests.service.warmer.fixtures import World
from tests.service.warmer.test_resume import stalled
from tests.support.fake_hub import Fault, FaultKind


def status(world: World) -> dict[str, Any]:
    found = json.loads((world.cache / ".model-cache/status.json").read_bytes())
    assert isinstance(found, dict)
    return found


def check(world: World) -> tuple[int, str]:
    out = io.StringIO()
    code = cache_check(["--catalog", str(world.catalog), "--cache", str(world.cache)], {}, out, io.StringIO())
    return code, out.getvalue()


def eventually(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_warm_that_goes_on_is_seen_in_the_status_and_by_the_check(world: World) -> None:
    holder = stalled(world, 2_000_000)
    try:
        eventually(lambda: status(world)["phase"] == "fetching" and status(world)["bytes_done"] >= 1_000_000)
        found = status(world)
        code, said = check(world)
    finally:
        holder.kill()
        holder.communicate()

    assert found["generation"]
    assert f"process {holder.pid} on " in found["holder"]
    assert found["bytes_total"] > found["bytes_done"]
    assert "model.safetensors" in found["current"]
    assert code == 10
    assert "note: a warm goes on, by process" in said
    assert " %, " in said


def test_the_end_is_written_with_its_reason(world: World) -> None:
    world.warm()
    done = status(world)
    assert (done["phase"], done["reason"]) == ("ended", "OK")
    assert done["bytes_done"] == done["bytes_total"] > 0
    assert "warm goes on" not in check(world)[1]

    world.hub.faults.add(Fault(FaultKind.STATUS, "config.json", status=403))
    text = world.catalog.read_text("utf-8")
    world.catalog.write_text(text.replace("sub/*", "README.md"), "utf-8")
    world.hub.faults.add(Fault(FaultKind.STATUS, "*", status=403))
    outcome = world.warm()

    failed = status(world)
    assert (failed["phase"], failed["reason"]) == ("ended", outcome.reason)
    assert failed["reason"] == "HUB_UNAUTHORIZED"
    assert failed["message"]


def test_a_warm_that_does_nothing_writes_no_status(world: World) -> None:
    world.warm()
    before = (world.cache / ".model-cache/status.json").stat().st_mtime_ns

    world.warm()

    assert (world.cache / ".model-cache/status.json").stat().st_mtime_ns == before


def test_a_status_that_cannot_be_written_keeps_nobody_from_warming(world: World) -> None:
    (world.cache / ".model-cache/status.json/in the way").mkdir(parents=True)

    assert world.warm().reason == "OK"
