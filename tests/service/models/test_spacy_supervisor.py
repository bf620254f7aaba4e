"""A spaCy process that dies or hangs is replaced, and costs at most the batch at hand."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from qda_worker.errors import BatchLost, LoadInterrupted, ModelDied, ModelFailed
from qda_worker.models.spacy_protocol import Passage
from qda_worker.models.spacy_supervisor import MAX_FAILED_LOADS, SpacyProcess
from tests.service.worker.fixtures import write_ruler

WAIT: Final = 60.0
KOELN: Final = Passage("Köln", 0, 4)
# spaCy needs some seconds for it.
LONG: Final = Passage("Merkel in Köln. " * 60_000, 0, 960_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_ruler(tmp_path / "ruler")
    return tmp_path / "ruler"


@pytest.fixture
def process(folder: Path) -> Iterator[SpacyProcess]:
    process = SpacyProcess(folder, 1, restart_delays=(0.01,))
    yield process
    process.close()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process: SpacyProcess, number: signal.Signals = signal.SIGKILL) -> int:
    pid = process.pid
    assert pid is not None
    os.kill(pid, number)
    return pid


def labels(process: SpacyProcess) -> list[str]:
    return [label for _, _, label in process.analyze([KOELN])[0].entities]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; the variables are glibc's")
@pytest.mark.parametrize("given", [{}, {"MALLOC_TRIM_THRESHOLD_": "1000000"}])
def test_the_process_gets_the_variables_of_its_heap_unless_the_user_has_set_them(
    folder: Path, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    process = SpacyProcess(folder, 1)
    try:
        variables = Path(f"/proc/{process.pid}/environ").read_text("utf-8").split("\0")
    finally:
        process.close()
    wanted = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)} | given
    assert {f"{name}={value}" for name, value in wanted.items()} <= set(variables)


def test_a_process_that_is_killed_while_idle_is_replaced(process: SpacyProcess) -> None:
    for _ in range(3):
        killed = kill(process)
        wait_for(lambda killed=killed: process.pid not in (None, killed))  # type: ignore[misc]
        assert labels(process) == ["LOC"]
    assert process.failure is None
    assert process.away_seconds == 0


def test_a_request_at_once_after_the_end_of_an_idle_process_is_answered(process: SpacyProcess) -> None:
    for _ in range(5):
        child = process._child
        kill(process)
        assert child is not None
        child.wait()
        assert labels(process) == ["LOC"]


def test_only_the_batch_at_hand_is_lost(process: SpacyProcess) -> None:
    killer = threading.Timer(0.3, kill, (process,))
    killer.start()
    with pytest.raises(BatchLost, match="ended by signal 9") as caught:
        process.analyze([LONG])
    assert caught.value.from_outside
    assert labels(process) == ["LOC"]


def test_a_process_that_hangs_is_killed_on_demand_and_not_before(process: SpacyProcess) -> None:
    process.abort(0.0)
    assert labels(process) == ["LOC"], "an idle process is left alone"
    stopped = kill(process, signal.SIGSTOP)
    lost: list[BatchLost] = []

    def ask() -> None:
        try:
            process.analyze([KOELN])
        except BatchLost as error:
            lost.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    process.abort(WAIT)
    assert asking.is_alive()
    while asking.is_alive():
        process.abort(0.05)
        asking.join(0.1)
    assert "was killed because it had not answered for 0 s" in str(lost[0])
    assert not lost[0].from_outside
    assert process.pid != stopped
    assert labels(process) == ["LOC"]


def test_a_pipeline_that_does_not_load_again_is_reported_once(folder: Path, process: SpacyProcess) -> None:
    reported: list[str] = []
    process.watch(reported.append)
    (folder / "config.cfg").unlink()
    kill(process)
    with suppress(BatchLost, ModelDied):  # the first request may be lost
        labels(process)
    with pytest.raises(ModelDied, match=r"could not be started again: .*config.cfg"):
        labels(process)
    assert process.failure is not None
    assert process.away_seconds > 0
    wait_for(lambda: bool(reported))
    process.watch(reported.append)
    process.close()  # a second close is allowed
    assert reported == [process.failure] * 2


def test_a_pipeline_that_can_be_loaded_again_is(folder: Path, process: SpacyProcess) -> None:
    config = (folder / "config.cfg").read_text()
    (folder / "config.cfg").unlink()
    kill(process)
    wait_for(lambda: process.away_seconds > 0)
    (folder / "config.cfg").write_text(config)
    wait_for(lambda: process.pid is not None)
    assert labels(process) == ["LOC"]


@pytest.mark.parametrize("passage", [KOELN, LONG], ids=["waiting for the answer", "writing the request"])
def test_closing_ends_a_process_that_hangs_and_its_request(process: SpacyProcess, passage: Passage) -> None:
    pid = kill(process, signal.SIGSTOP)
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            process.analyze([passage])
        except ModelFailed as error:
            ended.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    wait_for(lambda: process._asked_since is not None)
    closing = threading.Thread(target=process.close, daemon=True)
    closing.start()
    closing.join(WAIT)
    asking.join(WAIT)
    assert not closing.is_alive()
    assert not asking.is_alive()
    assert ended
    assert not os.path.exists(f"/proc/{pid}")


def test_closing_ends_a_process_that_hangs_while_it_loads(process: SpacyProcess) -> None:
    kill(process)
    wait_for(lambda: process._loading is not None)
    loading = process._loading
    assert loading is not None
    os.kill(loading.pid, signal.SIGSTOP)
    process.close()
    assert "was closed while it loaded" in loading.wait()


def test_a_process_that_hangs_while_it_loads_is_replaced(folder: Path) -> None:
    process = SpacyProcess(folder, 1, restart_delays=(0.01,), min_load_seconds=0.0)
    try:
        kill(process)
        wait_for(lambda: process._loading is not None)
        loading = process._loading
        assert loading is not None
        os.kill(loading.pid, signal.SIGSTOP)
        assert labels(process) == ["LOC"]
        assert "had not loaded after" in loading.wait()
    finally:
        process.close()


@pytest.mark.parametrize(("kills", "loads"), [(2, True), (MAX_FAILED_LOADS, False)])
def test_a_process_that_is_killed_during_the_first_load_is_started_again(
    folder: Path, kills: int, loads: bool
) -> None:
    killed: list[int] = []
    ended = threading.Event()

    def kill_children() -> None:
        while len(killed) < kills and not ended.is_set():
            for pid in children() - set(killed):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.01)

    before = children()
    killed += before
    kills += len(before)
    killer = threading.Thread(target=kill_children)
    killer.start()
    try:
        if loads:
            process = SpacyProcess(folder, 1, restart_delays=(0.01,))
            assert labels(process) == ["LOC"]
            process.close()
        else:
            with pytest.raises(LoadInterrupted, match="ended by signal 9"):
                SpacyProcess(folder, 1, restart_delays=(0.01,))
    finally:
        ended.set()
        killer.join()


def children() -> set[int]:
    """Return the ids of the child processes of this process that run spaCy."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found
