"""Home, umask and clock."""

import os
import time
from pathlib import Path

import pytest

from cache_warmer.doctor.diagnosis import Severity
from cache_warmer.doctor.machine import check_long_paths, check_machine, current_umask, machine_facts
from model_cache.places import Places, resolve_places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places("host", {}, tmp_path)


def found(
    environ: dict[str, str], places: Places | None, now: float | None = None, mask: int = 0o022
) -> list[str]:
    return [one.check for one in check_machine(environ, places, now or time.time(), mask)]


def test_a_usual_machine_has_no_findings(places: Places, tmp_path: Path) -> None:
    assert found({"HOME": str(tmp_path)}, places) == []


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/nowhere/at/all"}, {"HOME": "/"}])
def test_a_home_that_cannot_be_used_is_a_finding(environ: dict[str, str]) -> None:
    assert found(environ, None) == ["home"]


@pytest.mark.parametrize(
    ("mask", "severities"), [(0o022, []), (0o077, []), (0o002, []), (0o000, ["warning"]), (0o777, ["error"])]
)
def test_a_umask_that_opens_files_to_all_or_closes_them_to_their_owner_is_a_finding(
    tmp_path: Path, mask: int, severities: list[str]
) -> None:
    environ = {"HOME": str(tmp_path)}
    assert [str(one.severity) for one in check_machine(environ, None, time.time(), mask)] == severities


def test_a_umask_that_closes_a_shared_folder_is_noted(places: Places, tmp_path: Path) -> None:
    places.hub.path.mkdir(parents=True)
    places.hub.path.chmod(0o2775)
    (one,) = check_machine({"HOME": str(tmp_path)}, places, time.time(), 0o022)
    assert (one.check, one.severity) == ("umask", Severity.NOTE)
    assert str(places.hub.path) in one.message


def test_a_clock_before_the_installation_or_far_before_a_files_time_is_wrong(
    places: Places, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path)}
    assert found(environ, places, now=1.0) == ["clock"]
    places.hub.path.mkdir(parents=True)
    os.utime(places.hub.path, (0, time.time() + 10 * 86400))
    assert found(environ, places) == ["clock"]


def test_the_umask_is_read_without_changing_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        assert current_umask() == current_umask(tmp_path / "absent") == 0o027
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_the_facts_say_what_is_not_set() -> None:
    facts = machine_facts({}, 0.0)
    assert (facts["home"], facts["clock"]) == ("(not set)", "1970-01-01T00:00:00+00:00")


def test_a_windows_without_long_paths_is_told_how_to_switch_them_on() -> None:
    assert list(check_long_paths(enabled=True)) == []
    (finding,) = check_long_paths(enabled=False)
    assert (finding.check, finding.severity) == ("long-paths", Severity.WARNING)
    assert "LongPathsEnabled" in finding.remedy
