"""The status file shows the progress of a warm, and how the last one ended."""

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


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_running_warm_is_in_the_status_file_and_the_check(world: World) -> None:
    holder = stalled(world, 2_000_000)
    try:
        eventually(lambda: status(world)["phase"] == "fetching" and status(world)["bytes_done"] >= 1_000_000)
        found = status(world)
        code, output = check(world)
    finally:
        holder.kill()
        holder.communicate()

    assert found["generation"]
    assert f"process {holder.pid} on " in found["holder"]
    assert found["bytes_total"] > found["bytes_done"]
    assert "model.safetensors" in found["current"]
    assert code == 10
    assert "note: a warm is running (process" in output
    assert " %, " in output


def test_the_status_file_has_the_reason_of_the_end(world: World) -> None:
    world.warm()
    done = status(world)
    assert (done["phase"], done["reason"]) == ("ended", "OK")
    assert done["bytes_done"] == done["bytes_total"] > 0
    assert "a warm" not in check(world)[1]

    world.hub.faults.add(Fault(FaultKind.STATUS, "config.json", status=403))
    text = world.catalog.read_text("utf-8")
    world.catalog.write_text(text.replace("sub/*", "README.md"), "utf-8")
    world.hub.faults.add(Fault(FaultKind.STATUS, "*", status=403))
    outcome = world.warm()

    failed = status(world)
    assert (failed["phase"], failed["reason"]) == ("ended", outcome.reason)
    assert failed["reason"] == "HUB_UNAUTHORIZED"
    assert failed["message"]


def test_a_warm_with_nothing_to_do_writes_no_status(world: World) -> None:
    world.warm()
    before = (world.cache / ".model-cache/status.json").stat().st_mtime_ns

    world.warm()

    assert (world.cache / ".model-cache/status.json").stat().st_mtime_ns == before


def test_a_status_file_that_cannot_be_written_fails_no_warm(world: World) -> None:
    (world.cache / ".model-cache/status.json/in the way").mkdir(parents=True)

    assert world.warm().reason == "OK"
