"""A scrape of a waiting worker contains the progress of the warm of its cache."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from model_cache.places import Places, resolve_places
from model_cache.warm_status import Phase, WarmStatus, dump_status, status_path
from qda_worker.observability.cache_metrics import WarmMetrics

STARTED: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS: Final = WarmStatus(Phase.FETCHING, "a" * 64, "pod x", STARTED, STARTED, 600, 1000, 3, 17, 20.0, 20.0)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path), {}, tmp_path)


def scrape(places: Places, seconds: float) -> list[str]:
    registry = CollectorRegistry()
    registry.register(WarmMetrics(places, lambda: STARTED.timestamp() + seconds))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def write_status(places: Places, status: WarmStatus) -> None:
    status_path(places).parent.mkdir(exist_ok=True)
    status_path(places).write_bytes(dump_status(status))


def test_a_running_warm_is_reported_with_its_progress(places: Places) -> None:
    write_status(places, STATUS)
    lines = scrape(places, 3)

    for line in (
        "running 1.0",
        "done_bytes 600.0",
        "wanted_bytes 1000.0",
        "wanted_files 17.0",
        "bytes_per_second 20.0",
    ):
        assert f"qda_cache_warm_{line}" in lines
    assert not [line for line in lines if "ended" in line]


def test_a_warm_that_stopped_updating_its_status_does_not_run(places: Places) -> None:
    write_status(places, STATUS)
    lines = scrape(places, 300)

    assert "qda_cache_warm_running 0.0" in lines
    assert "qda_cache_warm_bytes_per_second 0.0" in lines
    assert 'qda_cache_warm_ended{reason="INTERRUPTED"} 1.0' in lines, "it was killed and could not say so"


def test_the_end_of_a_warm_is_reported_with_its_reason(places: Places) -> None:
    write_status(places, STATUS._replace(phase=Phase.ENDED, reason="NO_SPACE"))

    assert 'qda_cache_warm_ended{reason="NO_SPACE"} 1.0' in scrape(places, 3)


def test_an_unknown_reason_is_no_label(places: Places) -> None:
    write_status(places, STATUS._replace(phase=Phase.ENDED, reason="not a reason of the contract"))

    assert not [line for line in scrape(places, 3) if "ended" in line]


def test_without_a_warm_there_are_no_metrics(places: Places) -> None:
    assert scrape(places, 3) == []
