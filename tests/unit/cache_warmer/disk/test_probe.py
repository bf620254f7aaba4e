"""The probe tries everything, leaves nothing, and cleans up after one that was killed."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import SpaceNeeded
from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.disk.preflight import preflight
from cache_warmer.disk.probe import PREFIX, Findings, write_probe
from cache_warmer.disk.volume import Free, volume_of
from model_cache.places import PlaceName, resolve_places
from model_cache.reasons import Reason

KILLED_INSIDE: Final = """
import os, signal, sys
from pathlib import Path
from cache_warmer.disk import probe
probe.mmap.mmap = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
probe.write_probe(Path(sys.argv[1]))
"""


def left(folder: Path) -> list[Path]:
    return list(folder.glob(f"*{PREFIX}*"))


def test_an_ordinary_folder_can_everything(tmp_path: Path) -> None:
    assert write_probe(tmp_path) == Findings()
    assert Findings().remarks() == ()
    assert left(tmp_path) == []


def test_a_probe_that_was_killed_is_removed_by_the_next_one(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_INSIDE, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert len(left(tmp_path)) == 1

    write_probe(tmp_path)

    assert left(tmp_path) == []


def test_a_probe_that_runs_beside_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f"{PREFIX}1-x"
    other.mkdir()
    just_made = tmp_path / f"{PREFIX}2-y"
    just_made.mkdir()
    descriptor = os.open(other / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        assert try_lock(descriptor) is LockResult.TAKEN
        write_probe(tmp_path)
        assert (other / "lock").exists()
        assert just_made.exists()
    finally:
        os.close(descriptor)

    hour_ago = time.time() - 3600
    os.utime(just_made, (hour_ago, hour_ago))
    write_probe(tmp_path)
    assert left(tmp_path) == []


def test_what_a_volume_lacks_is_told_once_and_copies_are_given_room(tmp_path: Path) -> None:
    places = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    rooms = [SpaceNeeded(PlaceName.HUB, 1_000_000_000, 3)]

    def poor(_: Path) -> Findings:
        return Findings(links=False, locks=None)

    def free(count: int) -> Free:
        return Free(1, count, None)

    enough = preflight(rooms, places, probe=poor, free_here=lambda _: free(2_100_000_000))
    short = preflight(rooms, places, probe=poor, free_here=lambda _: free(1_900_000_000))

    assert enough.reason is Reason.OK
    assert enough.detail.count("no symbolic links") == enough.detail.count("no locks") == 1
    assert "\n" not in enough.detail
    assert short.reason is Reason.NO_SPACE


def test_a_volume_is_named_as_it_was_mounted(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"40 22 0:50 / {tmp_path} rw shared:1 - nfs4 srv:/export rw\n"
        f"41 40 0:51 / {tmp_path}/with\\040space rw - tmpfs tmpfs rw\n"
        "broken line\n"
    )
    (tmp_path / "with space").mkdir()

    assert volume_of(tmp_path / "cache", mounts) == f"{tmp_path}, nfs4 of srv:/export"
    assert volume_of(tmp_path / "with space" / "x", mounts) == f"{tmp_path}/with space, tmpfs"
    assert volume_of(Path("/"), mounts) == "/, ext4 of /dev/sda1"
    assert volume_of(tmp_path, tmp_path / "no such file") == ""
