"""The status file shows the progress of a warm, and how the last one ended."""

import io
import json
import time
from collections.abc import Callable
from typing import Any

from model_cache.check.cli import cache_check
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.test_resume import stalled
from tests.support.fake_hub import Fault, FaultKind


def status(workspace: Workspace) -> dict[str, Any]:
    found = json.loads((workspace.cache / ".model-cache/status.json").read_bytes())
    assert isinstance(found, dict)
    return found


def check(workspace: Workspace) -> tuple[int, str]:
    out = io.StringIO()
    code = cache_check(
        ["--catalog", str(workspace.catalog), "--cache", str(workspace.cache)], {}, out, io.StringIO()
    )
    return code, out.getvalue()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_running_warm_is_in_the_status_file_and_the_check(workspace: Workspace) -> None:
    holder = stalled(workspace, 2_000_000)
    try:
        eventually(
            lambda: status(workspace)["phase"] == "fetching" and status(workspace)["bytes_done"] >= 1_000_000
        )
        found = status(workspace)
        code, output = check(workspace)
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


def test_the_status_file_has_the_reason_of_the_end(workspace: Workspace) -> None:
    workspace.warm()
    done = status(workspace)
    assert (done["phase"], done["reason"]) == ("ended", "OK")
    assert done["bytes_done"] == done["bytes_total"] > 0
    assert "a warm" not in check(workspace)[1]

    workspace.hub.faults.add(Fault(FaultKind.STATUS, "config.json", status=403))
    text = workspace.catalog.read_text("utf-8")
    workspace.catalog.write_text(text.replace("sub/*", "README.md"), "utf-8")
    workspace.hub.faults.add(Fault(FaultKind.STATUS, "*", status=403))
    outcome = workspace.warm()

    failed = status(workspace)
    assert (failed["phase"], failed["reason"]) == ("ended", outcome.reason)
    assert failed["reason"] == "HUB_UNAUTHORIZED"
    assert failed["message"]


def test_a_warm_with_nothing_to_do_writes_no_status(workspace: Workspace) -> None:
    workspace.warm()
    before = (workspace.cache / ".model-cache/status.json").stat().st_mtime_ns

    workspace.warm()

    assert (workspace.cache / ".model-cache/status.json").stat().st_mtime_ns == before


def test_a_status_file_that_cannot_be_written_fails_no_warm(workspace: Workspace) -> None:
    (workspace.cache / ".model-cache/status.json/in the way").mkdir(parents=True)

    assert workspace.warm().reason == "OK"


def test_a_run_with_nothing_to_do_replaces_the_failure_of_an_earlier_one(workspace: Workspace) -> None:
    """As after a rollback: the generation that failed is no longer wanted."""
    workspace.warm()
    text = workspace.catalog.read_text("utf-8")
    workspace.catalog.write_text(text.replace("sub/*", "README.md"), "utf-8")
    workspace.hub.faults.add(Fault(FaultKind.STATUS, "*", status=403))
    assert workspace.warm().reason == status(workspace)["reason"] == "HUB_UNAUTHORIZED"

    workspace.catalog.write_text(text, "utf-8")
    assert workspace.warm().reason == status(workspace)["reason"] == "OK"
    before = status(workspace)
    workspace.warm()
    assert status(workspace) == before, "a success is not written again"


def test_a_failure_in_the_first_step_is_in_the_status_file(workspace: Workspace) -> None:
    workspace.warm()
    workspace.catalog.write_text("models: nonsense", "utf-8")
    assert workspace.warm().reason == status(workspace)["reason"] == "CATALOG_INVALID"


def test_a_failure_leaves_the_status_of_another_run_that_lasts(workspace: Workspace) -> None:
    holder = stalled(workspace, 2_000_000)
    try:
        eventually(lambda: status(workspace)["phase"] == "fetching")
        assert workspace.warm(wait=0.2).reason == "LEASE_HELD"
        assert f"process {holder.pid} on " in status(workspace)["holder"]
    finally:
        holder.kill()
        holder.communicate()


def test_a_failure_creates_no_cache_where_there_is_none(workspace: Workspace) -> None:
    workspace.catalog.write_text("models: nonsense", "utf-8")
    assert workspace.warm().reason == "CATALOG_INVALID"
    assert not workspace.cache.exists()
