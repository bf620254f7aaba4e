"""Reading and describing the status of a warm, which may be damaged or stale."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from model_cache.places import Places, resolve_places
from model_cache.warm_status import (
    Phase,
    WarmStatus,
    advise_on_missing,
    describe_warm,
    dump_status,
    read_status,
    status_path,
)

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS: Final = "a" * 64
FETCHING: Final = WarmStatus(
    Phase.FETCHING, OURS, "pod warmer-x", NOW - timedelta(seconds=60), NOW,
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
    assert describe_warm(places, OURS, NOW) == ""


def test_a_pipe_where_the_status_should_be_is_not_read(places: Places) -> None:
    os.mkfifo(status_path(places))
    assert read_status(places) is None


def test_a_field_of_a_later_version_is_ignored(places: Places) -> None:
    document = {**json.loads(dump_status(FETCHING)), "phase_of_the_moon": "full"}
    status_path(places).write_bytes(json.dumps(document).encode())

    assert read_status(places) == FETCHING


def test_a_running_warm_is_described_with_its_progress(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    assert describe_warm(places, OURS, NOW + timedelta(seconds=3)) == (
        "a warm is running (pod warmer-x): fetching, 60 %, 600.0 MB of 1.0 GB, 3 of 17 files, 40 s left"
    )


def test_a_killed_warm_is_described_as_interrupted(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    note = describe_warm(places, OURS, NOW + timedelta(minutes=5))

    assert "a warm was interrupted (pod warmer-x, last status 300 s ago)" in note
    assert "the next warm continues from there" in note


def write(places: Places, **changes: object) -> None:
    status_path(places).write_bytes(dump_status(FETCHING._replace(**changes)))  # type: ignore[arg-type]


def test_a_killed_warm_that_used_its_memory_names_the_limit(places: Places) -> None:
    write(places, memory_used=250 * 2**20, memory_limit=256 * 2**20)

    note = describe_warm(places, OURS, NOW + timedelta(minutes=5))

    assert "250Mi of 256Mi" in note
    assert "increase cacheWarmer.resources.limits.memory" in note


def test_the_end_of_the_last_warm_explains_what_is_missing(places: Places) -> None:
    write(places, phase=Phase.ENDED, reason="OK")
    assert "files were deleted or changed after it" in describe_warm(places, OURS, NOW)
    assert describe_warm(places, "b" * 64, NOW) == "", "of another catalog"

    write(places, phase=Phase.ENDED, reason="NO_SPACE", message="the volume is full")
    assert describe_warm(places, OURS, NOW).endswith("NO_SPACE: the volume is full")
    assert "of another catalog" in describe_warm(places, "b" * 64, NOW)


def test_who_misses_files_waits_for_a_warm_that_runs(places: Places) -> None:
    write(places)

    advice = advise_on_missing(places, OURS, NOW)
    assert advice is not None
    assert advice == ("wait: a warm is running (pod warmer-x)", True, "")
    assert "60 %" not in advice.sentence, "the advice of one warm never changes"

    other = advise_on_missing(places, "b" * 64, NOW)
    assert other is not None
    assert "another catalog" in other.sentence
    assert other.link


@pytest.mark.parametrize(
    ("status", "started", "is_waiting", "words"),
    [
        (None, NOW - timedelta(seconds=5), True, "starts together with this worker"),
        (None, NOW - timedelta(minutes=5), None, ""),
        (None, None, None, ""),
        ({"phase": Phase.ENDED, "reason": "OK"}, None, None, ""),
        ({"phase": Phase.ENDED, "reason": "HUB_BUSY"}, None, True, "its Job tries again"),
        (
            {"phase": Phase.ENDED, "reason": "NO_SPACE"},
            None,
            False,
            "solve why the last warm failed with NO_SPACE",
        ),
        (
            {"phase": Phase.ENDED, "reason": "HUB_BUSY", "updated": NOW - timedelta(hours=1)},
            None,
            False,
            "HUB_BUSY",
        ),
        ({"phase": Phase.ENDED, "reason": "NO_SPACE", "generation": "b" * 64}, None, None, ""),
        ({"updated": NOW - timedelta(minutes=5)}, None, None, ""),
    ],
)
def test_the_last_warm_decides_what_to_do_about_missing_files(
    places: Places,
    status: dict[str, object] | None,
    started: datetime | None,
    is_waiting: bool | None,
    words: str,
) -> None:
    if status is not None:
        write(places, **status)

    advice = advise_on_missing(places, OURS, NOW, started)

    assert (advice.is_waiting if advice else None) is is_waiting
    assert words in (advice.sentence if advice else "")
