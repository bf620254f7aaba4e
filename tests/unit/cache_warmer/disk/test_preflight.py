"""Verdicts of the preflight, on simulated volumes."""

import errno
import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.disk.preflight import SpaceNeeded, preflight
from cache_warmer.disk.probe import VolumeFeatures, write_probe
from cache_warmer.disk.volume import FreeSpace, MeasureFreeSpace, with_margin
from model_cache.places import PlaceName, Places, resolve_places
from model_cache.reasons import Reason

GB: Final = 10**9


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


def volume(bytes: int, inodes: int | None = 10**6) -> MeasureFreeSpace:
    return lambda _path: FreeSpace(1, bytes, inodes)


def test_enough_space_is_ok_with_both_figures(places: Places) -> None:
    verdict = preflight([SpaceNeeded(PlaceName.HUB, GB, 10)], places, probe=None, free_space=volume(2 * GB))

    assert verdict.reason is Reason.OK
    assert verdict.bytes_needed == with_margin(GB) > GB
    assert verdict.bytes_free == 2 * GB
    assert verdict.error is None


def test_a_margin_is_kept_free(places: Places) -> None:
    needs = [SpaceNeeded(PlaceName.HUB, GB, 10)]

    assert preflight(needs, places, probe=None, free_space=volume(GB + 1)).reason is Reason.NO_SPACE
    assert preflight(needs, places, probe=None, free_space=volume(with_margin(GB))).reason is Reason.OK


def test_nothing_to_fetch_needs_nothing_on_a_full_volume(places: Places) -> None:
    verdict = preflight([SpaceNeeded(PlaceName.HUB, 0, 0)], places, probe=None, free_space=volume(0, 0))

    assert verdict.reason is Reason.OK
    assert verdict.bytes_needed == 0


def test_inodes_are_counted_where_the_file_system_counts_them(places: Places) -> None:
    needs = [SpaceNeeded(PlaceName.HUB, 1000, 50)]

    short = preflight(needs, places, probe=None, free_space=volume(GB, 49))
    uncounted = preflight(needs, places, probe=None, free_space=volume(GB, None))

    assert short.reason is Reason.NO_SPACE
    assert "50 inodes are needed, 49 are free" in short.detail
    assert uncounted.reason is Reason.OK


def test_places_on_one_volume_share_its_space_and_on_two_do_not(places: Places) -> None:
    needs = [SpaceNeeded(PlaceName.HUB, GB, 1), SpaceNeeded(PlaceName.SPACY, GB, 1)]
    free = int(1.5 * GB)

    def two(path: Path) -> FreeSpace:
        return FreeSpace(2 if path == places.spacy.path else 1, free, None)

    assert preflight(needs, places, probe=None, free_space=volume(free)).reason is Reason.NO_SPACE
    assert preflight(needs, places, probe=None, free_space=two).reason is Reason.OK


def test_the_verdict_names_the_volume_that_is_short_and_a_remedy(places: Places) -> None:
    def spacy_is_small(path: Path) -> FreeSpace:
        return FreeSpace(2, 10, None) if path == places.spacy.path else FreeSpace(1, 9 * GB, None)

    needs = [SpaceNeeded(PlaceName.HUB, GB, 1), SpaceNeeded(PlaceName.SPACY, GB, 1)]
    verdict = preflight(needs, places, probe=None, free_space=spacy_is_small)

    assert str(places.spacy.path) in verdict.detail
    assert "\n" not in verdict.detail
    assert verdict.bytes_free == 10
    assert "cache.size" in verdict.remedy


@pytest.mark.parametrize(
    ("number", "reason", "word"),
    [
        (errno.EACCES, Reason.NO_PERMISSION, "fsGroup" if os.geteuid() else "root_squash"),
        (errno.EROFS, Reason.NO_PERMISSION, "read-write"),
        (errno.EIO, Reason.NO_PERMISSION, "disk"),
        (errno.ENOSPC, Reason.NO_SPACE, "free some space"),
        (errno.EDQUOT, Reason.NO_SPACE, "free some space"),
        (errno.ENOTSUP, Reason.VOLUME_UNSUITABLE, "POSIX"),
    ],
)
def test_a_probe_that_fails_is_a_verdict_with_its_remedy(
    places: Places, number: int, reason: Reason, word: str
) -> None:
    def probe(_: Path) -> VolumeFeatures:
        raise OSError(number, "no")

    verdict = preflight([], places, probe=probe, free_space=volume(GB))

    assert verdict.reason is reason
    assert word in verdict.remedy
    assert verdict.error is not None


def test_a_plan_without_probe_touches_nothing(places: Places, tmp_path: Path) -> None:
    before = tmp_path.stat().st_mtime_ns

    preflight([SpaceNeeded(PlaceName.HUB, 1, 1)], places, probe=None)

    assert tmp_path.stat().st_mtime_ns == before


@pytest.mark.parametrize("below", ["cache", "cache/huggingface/hub"])
def test_a_file_where_a_folder_should_be_is_unsuitable(places: Places, tmp_path: Path, below: str) -> None:
    (tmp_path / below).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / below).write_text("")

    verdict = preflight([], places, probe=write_probe)

    assert verdict.reason is Reason.VOLUME_UNSUITABLE
    assert str(tmp_path / below) in verdict.detail


def test_a_cache_folder_is_created_but_not_its_parents(tmp_path: Path) -> None:
    missing = resolve_places(str(tmp_path / "a" / "b"), {}, tmp_path)
    host = resolve_places("host", {}, tmp_path / "new-home")

    assert preflight([], missing, probe=None).reason is Reason.VOLUME_UNSUITABLE
    assert preflight([], host, probe=None).reason is Reason.OK


def test_limitations_are_reported_once_and_copies_get_space(tmp_path: Path) -> None:
    places = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    needs = [SpaceNeeded(PlaceName.HUB, 1_000_000_000, 3)]

    def poor(_: Path) -> VolumeFeatures:
        return VolumeFeatures(links=False, locks=None)

    def free(count: int) -> FreeSpace:
        return FreeSpace(1, count, None)

    enough = preflight(needs, places, probe=poor, free_space=lambda _: free(2_100_000_000))
    short = preflight(needs, places, probe=poor, free_space=lambda _: free(1_900_000_000))

    assert enough.reason is Reason.OK
    assert enough.detail.count("no symbolic links") == enough.detail.count("no locks") == 1
    assert "\n" not in enough.detail
    assert short.reason is Reason.NO_SPACE
