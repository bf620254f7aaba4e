"""Reading and describing the status of a warm, which may be damaged or stale."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from model_cache.places import Places, resolve_places
from model_cache.warm_status import Phase, WarmStatus, describe_warm, dump_status, read_status, status_path

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FETCHING: Final = WarmStatus(
    Phase.FETCHING, "a" * 64, "pod warmer-x", NOW - timedelta(seconds=60), NOW,
    600_000_000, 1_000_000_000, 3, 17, 10_000_000.0, 40.0, "org/name: model.safetensors",
)  # fmt: skip


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    status_path(places).parent.mkdir(parents=True)
    return places


def test_a_status_is_read_as_it_was_written(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    assert read_status(places) == FETCHING


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'"text"',
        dump_status(FETCHING)[:-30],
        b"\xff\xfe",
        json.dumps({"phase": "fetching"}).encode(),
        dump_status(FETCHING).replace(b'"fetching"', b'"dancing"'),
        dump_status(FETCHING).replace(b"2026-01-02T03:04:05Z", b"yesterday"),
        dump_status(FETCHING).replace(b"2026-01-02T03:04:05Z", b"2026-01-02T03:04:05"),
        dump_status(FETCHING).replace(b"600000000", b'"many"'),
        b"[" * 100_000,
    ],
)
def test_a_status_that_cannot_be_read_counts_as_none(places: Places, content: bytes) -> None:
    status_path(places).write_bytes(content)

    assert read_status(places) is None
    assert describe_warm(places, NOW) == ""


def test_a_pipe_where_the_status_should_be_is_not_read(places: Places) -> None:
    os.mkfifo(status_path(places))
    assert read_status(places) is None


def test_a_field_of_a_later_version_is_ignored(places: Places) -> None:
    document = {**json.loads(dump_status(FETCHING)), "phase_of_the_moon": "full"}
    status_path(places).write_bytes(json.dumps(document).encode())

    assert read_status(places) == FETCHING


def test_a_running_warm_is_described_with_its_progress(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    assert describe_warm(places, NOW + timedelta(seconds=3)) == (
        "a warm is running (pod warmer-x): fetching, 60 %, 600.0 MB of 1.0 GB, 3 of 17 files, 40 s left"
    )


def test_a_killed_warm_is_described_as_interrupted(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    note = describe_warm(places, NOW + timedelta(minutes=5))

    assert "a warm was interrupted (pod warmer-x, last status 300 s ago)" in note
    assert "the next warm continues from there" in note


def test_a_warm_that_has_ended_is_not_described(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING._replace(phase=Phase.ENDED, reason="OK")))

    assert describe_warm(places, NOW) == ""
