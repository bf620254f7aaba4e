"""The record of a run reports a kill to the runs after it."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.memory import MemoryUse
from model_cache.run_record import (
    RECORD_BYTES,
    Kill,
    RunRecord,
    RunState,
    dump_run_record,
    read_run_record,
    run_record_path,
)

FULL: Final = MemoryUse(390 * 2**20, 400 * 2**20)
RUNNING: Final = RunRecord(RunState.RUNNING, 1000.0, 2000.5, "loading german-ner", FULL)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = RUNNING._replace(kill=Kill(900.0, "serving", None, 2))
    (tmp_path / "run.json").write_bytes(dump_run_record(record))

    assert len(dump_run_record(record)) == RECORD_BYTES
    assert read_run_record(tmp_path / "run.json") == record


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        dump_run_record(RUNNING)[:40],
        dump_run_record(RUNNING).replace(b"running", b"dancing"),
        dump_run_record(RUNNING).replace(b"2000.5", b'"soon"'),
        dump_run_record(RUNNING).replace(b"null", b"7"),
        b" " * 100_000,
    ],
)
def test_a_record_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert read_run_record(tmp_path / "run.json") is None


def test_only_a_run_without_a_shutdown_was_killed() -> None:
    first = RUNNING.kill_before_next()
    assert first == Kill(2000.5, "loading german-ner", FULL, 1)
    for state in (RunState.STOPPING, RunState.ENDED):
        assert RUNNING._replace(state=state).kill_before_next() is None
        assert RUNNING._replace(state=state, kill=first).kill_before_next() == first
    again = RUNNING._replace(kill=first).kill_before_next()
    assert again is not None
    assert again.total == 2


def test_a_kill_near_the_limit_names_the_limit() -> None:
    text = str(Kill(0.0, "loading german-ner", FULL, 3))
    assert "1970-01-01 00:00:00 UTC while loading german-ner (3 times in this pod)" in text
    assert "it used 390Mi of 400Mi. Remedy: increase worker.resources.limits.memory" in text


def test_another_end_names_where_the_cause_is_found() -> None:
    text = str(Kill(0.0, "serving", FULL._replace(used=2**20), 1))
    assert "ended without a shutdown" in text
    assert "kubectl describe pod" in text
    assert "OOMKilled" in text


def test_without_its_folder_there_is_no_record() -> None:
    assert run_record_path({}) is None
    assert run_record_path({"QDA_RUN_DIR": "/tmp/x"}) == Path("/tmp/x/run.json")
