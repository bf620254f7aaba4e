"""Whether a path stays inside a cache when its links are followed."""

import os
from pathlib import Path

import pytest

from model_cache.containment import CacheBoundary, is_below
from model_cache.places import resolve_places


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cache/models--o--n/blobs").mkdir(parents=True)
    (tmp_path / "outside/blobs").mkdir(parents=True)
    return tmp_path / "cache"


def test_paths_inside_stay_inside_whether_they_exist_or_not(root: Path) -> None:
    boundary = CacheBoundary(root)
    assert boundary.escape_of(root) is boundary.escape_of(root / "a/b/c") is None
    (root / "link").symlink_to("models--o--n")
    assert boundary.escape_of(root / "link/blobs/new") is None


def test_the_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert CacheBoundary(tmp_path / "alias").escape_of(tmp_path / "alias/models--o--n") is None


@pytest.mark.parametrize("target", ["../outside", "../outside/not there", "../cache-beside"])
def test_a_link_leads_out(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    assert CacheBoundary(root).escape_of(root / "link/x") is not None


@pytest.mark.parametrize("name", ["models--o--m", ".packages", "sentence_transformers"])
def test_on_a_host_a_folder_may_be_a_link_of_the_same_user(root: Path, tmp_path: Path, name: str) -> None:
    (root / name).symlink_to(tmp_path / "outside")
    assert CacheBoundary(root, on_host=True).escape_of(root / name / "blobs/x") is None
    assert CacheBoundary(root).escape_of(root / name / "blobs/x") == tmp_path / "outside/blobs/x"


def test_on_a_host_an_inner_link_must_stay_inside_the_target(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "models--o--m").symlink_to(tmp_path / "outside")
    (tmp_path / "outside/snapshots").symlink_to(tmp_path / "elsewhere")
    (root / "models--o--n/snapshots").symlink_to(tmp_path / "elsewhere")
    boundary = CacheBoundary(root, on_host=True)
    assert boundary.escape_of(root / "models--o--m/snapshots/x") == tmp_path / "elsewhere/x"
    assert boundary.escape_of(root / "models--o--n/snapshots/x") == tmp_path / "elsewhere/x"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("link_owner", "target_owner"), [(4711, 0), (0, 4711), (4711, 4711)])
def test_on_a_host_a_link_of_another_user_leads_out(
    root: Path, tmp_path: Path, link_owner: int, target_owner: int
) -> None:
    (root / "models--o--m").symlink_to(tmp_path / "outside")
    os.lchown(root / "models--o--m", link_owner, 0)
    os.chown(tmp_path / "outside", target_owner, 0)
    assert CacheBoundary(root, on_host=True).escape_of(root / "models--o--m/x") is not None


def test_a_cache_of_one_folder_has_one_boundary_and_a_host_one_for_each_place(tmp_path: Path) -> None:
    own = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    assert {own.boundary_of(place.path) for place in own.all()} == {CacheBoundary(tmp_path / "cache")}
    host = resolve_places("host", {}, tmp_path)
    for place in host.all():
        assert host.boundary_of(place.path / "x") == CacheBoundary(place.path, on_host=True)
    with pytest.raises(ValueError, match="none of the places"):
        host.boundary_of(tmp_path)


@pytest.mark.parametrize(("platform", "below"), [("win32", True), ("linux", False)])
def test_case_and_separators_count_as_the_system_counts_them(platform: str, below: bool) -> None:
    assert is_below(r"C:\Cache\hub", r"c:\cache", platform) is below
