"""`verify` finds what only hashes show, tells it on the volume, and with `--repair` mends it."""

import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.catalog.catalog import generation
from model_cache.catalog.parse import load_catalog
from model_cache.check.cli import cache_check
from model_cache.check.deep_check_record import DeepCheck, read_deep_check
from model_cache.layout import deep_check_path
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus, dump_status, status_path
from tests.service.warmer.fixtures import BIG, Outcome, Workspace
from tests.service.warmer.test_repair import blob, flip, inodes
from tests.support.explained import explained

WEIGHTS: Final = "model.safetensors"


def verify(workspace: Workspace, *more: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    code = cache_warmer(workspace.arguments("verify", *more), workspace.environ, out, err)
    return Outcome(code, explained(json.loads(out.getvalue())), err.getvalue())


def recorded(workspace: Workspace) -> DeepCheck | None:
    places = resolve_places(str(workspace.cache), {}, workspace.folder)
    return read_deep_check(places, generation(load_catalog(workspace.catalog).models))


def checked(workspace: Workspace, *more: str) -> tuple[int, str]:
    out = io.StringIO()
    arguments = ["--catalog", str(workspace.catalog), "--cache", str(workspace.cache), *more]
    return cache_check(arguments, {}, out, io.StringIO()), out.getvalue()


def test_an_intact_cache_is_recorded_as_such_without_a_request_or_a_change(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    before = inodes(workspace, deep_checks=True)

    outcome = verify(workspace)

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert workspace.hub.log.requests() == ()
    found = recorded(workspace)
    assert found is not None
    assert (found.reason, found.bad_files, found.record.mended_files) == (Reason.OK, 0, 0)
    record = str(
        deep_check_path(resolve_places(str(workspace.cache), {}, Path("/")), found.record.generation)
    )
    changed = inodes(workspace, deep_checks=True).keys() ^ before.keys()
    assert changed == {os.path.relpath(record, workspace.cache)}
    assert "every file intact" in checked(workspace)[1]


def test_a_flipped_byte_is_reported_and_stays_until_the_file_is_replaced(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))
    workspace.hub.log.clear()

    outcome = verify(workspace)

    assert (outcome.code, outcome.reason) == (11, "CACHE_CORRUPT")
    assert "the deep check found 1 bad file of one" in outcome.document["message"]
    assert "repair" in outcome.document["remedy"]
    assert workspace.hub.log.requests() == (), "it only reports"
    found = recorded(workspace)
    assert found is not None
    assert (found.reason, found.bad_files, set(found.corrupt_models)) == (Reason.CACHE_CORRUPT, 1, {"one"})
    code, table = checked(workspace)
    assert code == 0, "the fast check sees sizes only"
    assert f"found 1 file bad: {workspace.cache}" in table
    document = json.loads(checked(workspace, "--format", "json")[1])
    assert document["deep_check"]["bad_files"] == 1

    blob(workspace).unlink()
    workspace.warm()  # knows nothing of the finding
    found = recorded(workspace)
    assert found is not None
    assert (found.reason, found.bad_files) == (Reason.OK, 0), "the finding was about another file"


def test_a_repair_says_what_it_mended(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))

    outcome = verify(workspace, "--repair")

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert outcome.document["bytes_fetched"] == BIG
    found = recorded(workspace)
    assert found is not None
    assert (found.reason, found.bad_files, found.record.mended_files) == (Reason.OK, 0, 1)
    assert set(found.mended_models) == {"one"}
    assert "1 file bad; all of them were fetched again" in checked(workspace)[1]


def test_what_a_repair_cannot_fetch_stays_recorded(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))

    outcome = verify(workspace, "--repair", "--hub", "http://127.0.0.1:9")

    assert outcome.code == 22
    found = recorded(workspace)
    assert found is not None
    assert set(found.corrupt_models) == {"one"}


def test_the_plain_repair_leaves_no_former_finding(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))
    verify(workspace)
    workspace.repair()
    found = recorded(workspace)
    assert found is not None
    assert (found.reason, found.record.mended_files) == (Reason.OK, 1)


def test_a_check_of_some_models_is_no_result_for_the_generation(workspace: Workspace) -> None:
    workspace.warm()
    assert verify(workspace, "--model", "two").code == 0
    assert recorded(workspace) is None


def test_files_that_a_running_warmer_has_not_fetched_yet_are_no_finding(workspace: Workspace) -> None:
    workspace.warm()
    blob(workspace).unlink()
    places, now = resolve_places(str(workspace.cache), {}, workspace.folder), datetime.now(UTC)
    status_path(places).write_bytes(dump_status(WarmStatus(Phase.FETCHING, "g", "pod x", now, now)))

    outcome = verify(workspace)

    assert (outcome.code, outcome.reason) == (40, "LEASE_HELD")
    assert "a warm is running (pod x)" in outcome.document["message"]
    assert recorded(workspace) is None


def test_a_volume_that_cannot_be_written_is_checked_all_the_same(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    workspace.warm()
    folder = workspace.cache / ".model-cache"
    (folder / "deep-checks").symlink_to("/nowhere")  # leads out of the cache, so it is not written to

    with caplog.at_level("WARNING", "cache_warmer"):
        outcome = verify(workspace)

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert "cannot be written, so no worker shows it" in caplog.text
