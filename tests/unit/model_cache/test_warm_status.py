"""The status of a warm is read for what it is worth: never trusted, never a reason to fail."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from model_cache.places import Places, resolve_places
from model_cache.warm_status import Phase, WarmStatus, dump_status, read_status, status_path, warm_note

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


def test_it_is_read_as_it_was_written(places: Places) -> None:
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
def test_what_cannot_be_read_is_no_status_and_no_failure(places: Places, content: bytes) -> None:
    status_path(places).write_bytes(content)

    assert read_status(places) is None
    assert warm_note(places, NOW) == ""


def test_a_field_that_a_later_version_adds_is_passed_over(places: Places) -> None:
    document = {**json.loads(dump_status(FETCHING)), "phase_of_the_moon": "full"}
    status_path(places).write_bytes(json.dumps(document).encode())

    assert read_status(places) == FETCHING


def test_a_warm_that_goes_on_says_how_far_it_is(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    assert warm_note(places, NOW + timedelta(seconds=3)) == (
        "a warm goes on, by pod warmer-x: fetching, 60 %, 600.0 MB of 1.0 GB, 3 of 17 files, 40 s left"
    )


def test_a_warm_that_was_killed_is_told_from_one_that_goes_on(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING))

    note = warm_note(places, NOW + timedelta(minutes=5))

    assert "ended without a word, 300 s ago" in note
    assert "the next one goes on" in note


def test_a_warm_that_ended_is_not_worth_a_note(places: Places) -> None:
    status_path(places).write_bytes(dump_status(FETCHING._replace(phase=Phase.ENDED, reason="OK")))

    assert warm_note(places, NOW) == ""
