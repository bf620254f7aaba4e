"""A run is recorded while it lasts, so that its kill is known afterwards."""

import threading
from pathlib import Path
from typing import Final

from model_cache.memory import MemoryUse
from model_cache.run_record import RunState, read_run_record
from qda_worker.server.run_recorder import RunRecorder

USE: Final = MemoryUse(390 * 2**20, 400 * 2**20)


def recorder(folder: Path, activity: str = "serving", interval: float = 60.0) -> RunRecorder:
    return RunRecorder(
        folder / "state" / "run.json",
        lambda: activity,
        termination_log=folder / "termination-log",
        memory=lambda: USE,
        clock=lambda: 1_000_000.0,
        interval=interval,
    )


def test_a_run_that_is_killed_is_reported_to_the_next_one(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("")
    first = recorder(tmp_path, "loading german-ner")
    first.start()

    assert first.kill is None
    assert not first.follows_kill
    message = log.read_text()
    assert "while loading german-ner. It used 390Mi of 400Mi of memory." in message
    assert "increase worker.resources.limits.memory" in message

    second = recorder(tmp_path)  # the first one has not closed
    assert second.follows_kill
    assert second.kill is not None
    assert (second.kill.activity, second.kill.memory, second.kill.total) == ("loading german-ner", USE, 1)
    first.close()


def test_a_shutdown_is_no_kill_and_leaves_no_message(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("")
    run = recorder(tmp_path)
    run.start()
    run.stopping()
    assert log.read_text() == ""
    assert not recorder(tmp_path).follows_kill, "killed during its shutdown"
    run.close()
    assert not recorder(tmp_path).follows_kill
    record = read_run_record(tmp_path / "state" / "run.json")
    assert record is not None
    assert record.state is RunState.ENDED


def test_the_former_kill_is_kept_by_the_runs_after_it(tmp_path: Path) -> None:
    recorder(tmp_path, "loading german-ner").start()
    second = recorder(tmp_path)
    second.start()
    second.close()
    third = recorder(tmp_path)

    assert third.kill == second.kill
    assert not third.follows_kill


def test_the_record_follows_the_activity(tmp_path: Path) -> None:
    activities = ["waiting for its cache"]
    seen = threading.Event()

    def activity() -> str:
        seen.set()
        return activities[-1]

    run = RunRecorder(tmp_path / "run.json", activity, memory=lambda: None, interval=0.01)
    run.start()
    activities.append("serving")
    seen.clear()
    assert seen.wait(10)
    run.close()
    record = read_run_record(tmp_path / "run.json")
    assert record is not None
    assert record.activity == "serving"


def test_records_are_frequent_while_a_worker_starts(tmp_path: Path) -> None:
    samples, seen = [], threading.Event()

    def memory() -> MemoryUse:
        samples.append(USE)
        if len(samples) == 3:
            seen.set()
        return USE

    run = RunRecorder(tmp_path / "run.json", lambda: "waiting for its cache", memory=memory, interval=3600.0)
    run.start()
    assert seen.wait(10)
    run.close()


def test_nothing_is_written_without_a_folder_or_where_it_cannot_be_written(tmp_path: Path) -> None:
    nowhere = RunRecorder.from_environment({}, lambda: "serving")
    nowhere.start()
    nowhere.stopping()
    nowhere.close()
    (tmp_path / "file").write_text("")
    blocked = recorder(tmp_path / "file")
    blocked.start()
    blocked.close()
    assert not (tmp_path / "termination-log").exists(), "it is never created"
