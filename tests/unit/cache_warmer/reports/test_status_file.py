"""The status file of a run, and what it tells about the run before."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.reports.progress import ProgressCounter
from cache_warmer.reports.status_file import StatusFile
from model_cache.memory import MemoryUse
from model_cache.warm_status import Phase, WarmStatus, dump_status, read_status_file

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FORMER: Final = WarmStatus(Phase.FETCHING, "a" * 64, "pod former", NOW, NOW)


def status_file(path: Path, told: list[WarmStatus]) -> StatusFile:
    memory = MemoryUse(250 * 2**20, 256 * 2**20)
    return StatusFile(path, "a" * 64, "pod x", ProgressCounter(), lambda: NOW, told.append, lambda: memory)


@pytest.mark.parametrize(
    ("former", "told"),
    [(None, []), (FORMER, [FORMER]), (FORMER._replace(phase=Phase.ENDED, reason="OK"), [])],
)
def test_a_former_run_without_an_end_was_killed(
    tmp_path: Path, former: WarmStatus | None, told: list[WarmStatus]
) -> None:
    path = tmp_path / "status.json"
    if former is not None:
        path.write_bytes(dump_status(former))
    seen: list[WarmStatus] = []

    with status_file(path, seen).maintain():
        running = read_status_file(path)

    assert seen == told
    assert running is not None
    assert running.memory == MemoryUse(250 * 2**20, 256 * 2**20)
    ended = read_status_file(path)
    assert ended is not None
    assert ended.phase is Phase.ENDED
