"""The record of a deep check: what was written is read, and nothing else is believed."""

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.catalog.catalog import Task
from model_cache.check.deep_check_record import (
    MAX_LISTED,
    DeepCheckRecord,
    describe_deep_check,
    dump_deep_check,
    findings_of,
    read_deep_check,
)
from model_cache.check.types import CheckReport, ModelReport, Problem, Tier
from model_cache.layout import deep_check_path
from model_cache.places import PlaceName, Places, resolve_places
from model_cache.reasons import Reason

GENERATION: Final = "a" * 64
RECORD: Final = DeepCheckRecord(GENERATION, "2026-01-02T03:04:05Z", "pod x", 1.5, 7, 700)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path), {}, tmp_path)


def write(places: Places, content: bytes) -> None:
    path = deep_check_path(places, GENERATION)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def report(places: Places, *files: str, reason: Reason = Reason.CACHE_CORRUPT) -> CheckReport:
    problems = tuple(Problem(str(places.hub.path / file), reason, "is bad", "repair") for file in files)
    model = ModelReport("one", Task.SENTIMENT, "o/r", "0" * 40, reason, 1, 1, "/p", problems)
    return CheckReport(reason, GENERATION, "/c", Tier.DEEP, 1, 1, 0.0, (model,), (), places)


def record_of(found: CheckReport) -> bytes:
    findings = findings_of(found)
    return dump_deep_check(RECORD._replace(bad_files=len(found.models[0].problems), findings=findings))


def test_a_finding_holds_until_the_file_is_replaced(places: Places) -> None:
    blob, name = places.hub.path / "blob", places.hub.path / "name"
    blob.parent.mkdir(parents=True)
    blob.write_text("bad")
    os.utime(blob, (1000, 1000))
    name.symlink_to("blob")
    write(places, record_of(report(places, "name")))

    found = read_deep_check(places, GENERATION)
    assert found is not None
    assert (found.reason, found.bad_files, set(found.corrupt_models)) == (Reason.CACHE_CORRUPT, 1, {"one"})
    assert found.findings[0][:3] == ("one", PlaceName.HUB, "name")
    sentence = describe_deep_check(found, places)
    assert f"found 1 file bad: {name}: is bad" in sentence

    blob.unlink()
    blob.write_text("new")
    found = read_deep_check(places, GENERATION)
    assert found is not None
    assert (found.reason, found.bad_files) == (Reason.OK, 0)
    assert "were replaced since" in describe_deep_check(found, places)


def test_a_missing_file_holds_until_it_is_there(places: Places) -> None:
    write(places, record_of(report(places, "name", reason=Reason.CACHE_INCOMPLETE)))
    found = read_deep_check(places, GENERATION)
    assert found is not None
    assert (found.reason, found.corrupt_models) == (Reason.CACHE_INCOMPLETE, frozenset())
    places.hub.path.mkdir(parents=True)
    (places.hub.path / "name").touch()
    found = read_deep_check(places, GENERATION)
    assert found is not None
    assert found.reason is Reason.OK


def test_files_beyond_the_limit_are_counted(places: Places) -> None:
    write(places, record_of(report(places, *(f"f{number}" for number in range(MAX_LISTED + 30)))))
    found = read_deep_check(places, GENERATION)
    assert found is not None
    assert (len(found.findings), found.bad_files) == (MAX_LISTED, MAX_LISTED + 30)


def _changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(dump_deep_check(RECORD)), **fields}).encode()


FINDING: Final = {
    "model": "one",
    "place": "huggingface",
    "path": "a",
    "reason": "CACHE_CORRUPT",
    "detail": "d",
    "modified": 1,
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        _changed(generation="b" * 64),
        _changed(ended="yesterday"),
        _changed(ended="2026-01-02T03:04:05Z\x1b[2J"),
        _changed(files="many"),
        _changed(findings={"a": 1}),
        _changed(findings=[1]),
        _changed(findings=[FINDING | {"path": "../../etc/passwd"}]),
        _changed(findings=[FINDING | {"path": "/etc/passwd"}]),
        _changed(findings=[FINDING | {"place": "nowhere"}]),
        _changed(findings=[FINDING | {"reason": "BAD"}]),
        _changed(findings=[FINDING | {"modified": "now"}]),
    ],
)
def test_what_is_no_record_counts_as_no_deep_check(places: Places, content: bytes) -> None:
    write(places, content)
    assert read_deep_check(places, GENERATION) is None


def test_strange_numbers_and_texts_are_bounded(places: Places) -> None:
    text = "\x1b[31m" + "x" * 5000
    write(places, _changed(files=-7, bytes=2**80, seconds=-1, holder=text, bad_files=9))
    found = read_deep_check(places, GENERATION)
    assert found is not None
    assert (found.record.files, found.record.bytes, found.record.seconds) == (0, 2**63 - 1, 0.0)
    assert "\x1b" not in found.record.holder
    assert len(found.record.holder) < 3000
    assert found.bad_files == 0, "no finding holds"


def test_a_fifo_or_a_folder_is_not_waited_for(places: Places) -> None:
    path = deep_check_path(places, GENERATION)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert read_deep_check(places, GENERATION) is None
    path.unlink()
    path.mkdir()
    assert read_deep_check(places, GENERATION) is None
