"""The places of a cache: obstacles, what a probe says, space."""

import errno
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.disk.probe import Probe, VolumeFeatures, write_probe
from cache_warmer.disk.volume import FreeSpace
from cache_warmer.doctor.diagnosis import Finding, Severity
from cache_warmer.doctor.volumes import check_volumes, place_states
from cache_warmer.errors import VolumeUnsuitable
from model_cache.places import Places, resolve_places
from model_cache.reasons import Reason

PLENTY: Final = FreeSpace(1, 10**12, 10**9)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "cache").mkdir()
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


def found(places: Places, probe: Probe | None, free: FreeSpace = PLENTY) -> list[Finding]:
    """Return the findings, without those about the kind of the file system that the tests run on."""
    return [
        one
        for one in check_volumes(places, probe, lambda _: free)
        if not (one.check == "volume" and "no symbolic links" not in one.message)
    ]


def fail(error: Exception) -> Probe:
    def probe(folder: Path) -> VolumeFeatures:
        raise error

    return probe


def test_a_usual_volume_has_no_findings_and_keeps_nothing(places: Places, tmp_path: Path) -> None:
    assert found(places, write_probe) == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_places_on_one_folder_are_probed_once(places: Places) -> None:
    probed: list[Path] = []

    def probe(folder: Path) -> VolumeFeatures:
        probed.append(folder)
        return VolumeFeatures(links=False)

    (one,) = found(places, probe)
    assert (probed, one.severity) == ([places.own.path.parent], Severity.WARNING)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EACCES, "denied"), Reason.NO_PERMISSION),
        (OSError(errno.EROFS, "read-only"), Reason.NO_PERMISSION),
        (OSError(errno.ENOSPC, "full"), Reason.NO_SPACE),
        (VolumeUnsuitable("no rename", "another volume"), Reason.VOLUME_UNSUITABLE),
    ],
)
def test_a_probe_that_fails_is_an_error_with_its_remedy(
    places: Places, error: Exception, reason: Reason
) -> None:
    (one,) = found(places, fail(error))
    assert (one.severity, one.reason) == (Severity.ERROR, reason)
    assert one.remedy


def test_on_a_host_a_cache_of_others_may_be_read_only(tmp_path: Path) -> None:
    places = resolve_places("host", {}, tmp_path)
    places.hub.path.mkdir(parents=True)

    def probe(folder: Path) -> VolumeFeatures:
        if folder == places.hub.path:
            raise OSError(errno.EACCES, "denied")
        return VolumeFeatures()

    assert [one.severity for one in found(places, probe)] == [Severity.WARNING]


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_something_else_under_the_name_of_a_place_is_an_error(places: Places, obstacle: str) -> None:
    if obstacle == "file":
        places.torch.path.write_text("no folder")
    else:
        places.torch.path.symlink_to("nowhere")
    (one,) = found(places, write_probe)
    assert (one.reason, str(places.torch.path) in one.message) == (Reason.VOLUME_UNSUITABLE, True)


@pytest.mark.parametrize(
    ("free", "severity"),
    [
        (FreeSpace(1, 1000, None), Severity.ERROR),
        (FreeSpace(1, 500 << 20, None), Severity.WARNING),
        (FreeSpace(1, 10**12, 10), Severity.ERROR),
        (FreeSpace(1, 10**12, 1000), Severity.WARNING),
    ],
)
def test_little_space_is_told_once_for_each_file_system(
    places: Places, free: FreeSpace, severity: Severity
) -> None:
    (one,) = found(places, None, free)
    assert (one.reason, one.severity) == (Reason.NO_SPACE, severity)


def test_a_file_system_that_cannot_be_asked_has_a_state_all_the_same(places: Places) -> None:
    def broken(path: Path) -> FreeSpace:
        raise OSError(errno.EIO, "broken")

    states = place_states(places, broken)
    assert [(one.name, one.free_bytes) for one in states] == [
        (str(place.name), None) for place in places.all()
    ]
