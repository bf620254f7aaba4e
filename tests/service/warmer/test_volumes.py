"""Volumes with limited file-system features, mounted for the test: a cache of copies, or an error with a remedy."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cache_warmer.disk.probe import PROBE_PREFIX
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.archives import export, import_
from tests.service.warmer.fixtures import Workspace

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="mounting volumes needs root and loop devices",
)


def _do(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    """Mount a volume without symbolic links, whose names are not case-sensitive."""
    if shutil.which("mkfs.exfat") is None or shutil.which("mount.exfat-fuse") is None:
        pytest.skip("exfat-fuse and exfatprogs are not installed")
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    _do("mkfs.exfat", str(image))
    folder.mkdir()
    device = _do("losetup", "--find", "--show", str(image))
    try:
        _do("mount.exfat-fuse", device, str(folder))
        try:
            yield folder
        finally:
            _do("umount", str(folder))
    finally:
        _do("losetup", "--detach", device)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    _do("mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", str(folder))
    try:
        yield folder
    finally:
        _do("umount", "--lazy", str(folder))


def is_whole(workspace: Workspace, cache: Path) -> bool:
    places = resolve_places(str(cache), {}, workspace.folder)
    return check(load_catalog(workspace.catalog).models, places, Tier.DEEP).reason is Reason.OK


def test_a_volume_without_links_holds_a_cache_of_copies(workspace: Workspace, tmp_path: Path) -> None:
    with exfat(tmp_path / "volume") as volume:
        cache = volume / "cache"
        plan = workspace.plan("--cache", str(cache))
        outcome = workspace.warm(cache=str(cache))

        assert "no symbolic links" in plan.document["preflight"]["detail"]
        assert plan.document["preflight"]["bytes_needed"] > 2 * plan.document["bytes_to_fetch"]
        assert (outcome.code, outcome.reason) == (0, "OK")
        assert is_whole(workspace, cache)
        assert not [path for path in cache.rglob("*") if path.is_symlink()]
        assert workspace.warm(cache=str(cache)).document["bytes_fetched"] == 0
        assert not list(volume.rglob(f"{PROBE_PREFIX}*"))


def test_an_import_fills_a_volume_without_links_with_copies(workspace: Workspace, tmp_path: Path) -> None:
    archive = tmp_path / "generation.tar"
    assert workspace.warm().reason == "OK"
    export(workspace, archive)
    with exfat(tmp_path / "volume") as volume:
        cache = volume / "cache"

        assert import_(workspace, archive, cache).reason == "OK"

        assert is_whole(workspace, cache)
        assert not [path for path in cache.rglob("*") if path.is_symlink()]
        assert not list(cache.rglob("*.incomplete"))
        again = import_(workspace, archive, cache)
        assert (again.reason, again.document["bytes_written"]) == ("OK", 0)
        assert workspace.warm(cache=str(cache)).document["bytes_fetched"] == 0
        export(workspace, tmp_path / "again.tar", cache=cache)
        assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_a_read_only_volume_is_named_with_a_remedy(workspace: Workspace, tmp_path: Path) -> None:
    with read_only(tmp_path / "volume") as volume:
        outcome = workspace.warm(cache=str(volume))

        assert (outcome.reason, outcome.code) == ("NO_PERMISSION", 31)
        assert f"volume {volume}, tmpfs" in outcome.err
        assert "mount the volume read-write" in outcome.err
        assert workspace.hub.log.requests() == ()
