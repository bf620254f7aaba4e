"""Names that a file system cannot tell apart or cannot store, found before the first byte."""

from pathlib import Path

import pytest

from cache_warmer.disk.name_limits import ignores_case, long_paths_enabled, require_storable
from cache_warmer.disk.preflight import preflight
from cache_warmer.errors import VolumeUnsuitable
from model_cache.places import PlaceName, Places, resolve_places
from model_cache.reasons import Reason


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


def files(*paths: str) -> list[tuple[PlaceName, str]]:
    return [(PlaceName.HUB, path) for path in paths]


def require(
    places: Places, *paths: str, folds_case: bool = False, long_paths: bool = True, platform: str = "linux"
) -> None:
    require_storable(
        files(*paths),
        places,
        folds_case=lambda _: folds_case,
        has_long_paths=lambda: long_paths,
        platform=platform,
    )


def test_names_that_differ_in_case_alone_need_a_volume_with_case(places: Places) -> None:
    names = ("models--org--x/snapshots/a/Config.json", "models--org--x/snapshots/a/config.json")
    require(places, *names)
    with pytest.raises(VolumeUnsuitable, match=r"Config\.json and .*config\.json"):
        require(places, *names, folds_case=True)


def test_two_repositories_whose_names_differ_in_case_alone_share_no_folder(places: Places) -> None:
    with pytest.raises(VolumeUnsuitable, match="models--ORG--Name and models--org--name"):
        require(places, "models--ORG--Name/snapshots/a/x", "models--org--name/snapshots/b/x", folds_case=True)


def test_the_same_file_twice_is_no_collision(places: Places) -> None:
    require(places, "a/x", "a/x", "a/y", folds_case=True)


def test_a_path_that_is_too_long_is_named_with_both_ways_out(places: Places) -> None:
    name = "models--org--x/snapshots/" + "a" * 200 + "/" + "b" * 100
    require(places, name)
    with pytest.raises(VolumeUnsuitable, match="characters too long") as caught:
        require(places, name, long_paths=False)
    assert "LongPathsEnabled" in caught.value.remedy
    assert "--cache" in caught.value.remedy


def test_names_that_windows_reserves_are_refused_there_only(places: Places) -> None:
    require(places, "models--org--x/snapshots/a/aux.json")
    with pytest.raises(VolumeUnsuitable, match="Windows reserves"):
        require(places, "models--org--x/snapshots/a/aux.json", platform="win32")


def test_the_preflight_gives_the_verdict(places: Places) -> None:
    long = files("a" * 200 + "/" + "b" * 100)
    expected = Reason.OK if long_paths_enabled() else Reason.VOLUME_UNSUITABLE
    assert preflight([], places, probe=None, files=long).reason is expected


def test_a_volume_with_case_is_recognized_without_writing(tmp_path: Path) -> None:
    (tmp_path / "Cache").mkdir()
    assert not ignores_case(tmp_path / "Cache" / "huggingface" / "hub")
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["Cache"]


def test_a_volume_without_case_has_its_folders_in_either_case(tmp_path: Path) -> None:
    (tmp_path / "Cache").mkdir()
    (tmp_path / "cACHE").symlink_to("Cache")  # as such a volume answers
    assert ignores_case(tmp_path / "Cache" / "huggingface")
