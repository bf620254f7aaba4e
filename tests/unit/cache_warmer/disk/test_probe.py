"""The probe tries every operation, leaves nothing, and cleans up after one that was killed."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.disk.probe import PROBE_PREFIX, VolumeFeatures, write_probe

KILLED_INSIDE: Final = """
import os, signal, sys
from pathlib import Path
from cache_warmer.disk import probe
probe.mmap.mmap = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
probe.write_probe(Path(sys.argv[1]))
"""


def left(folder: Path) -> list[Path]:
    return list(folder.glob(f"*{PROBE_PREFIX}*"))


def test_an_ordinary_folder_has_all_features(tmp_path: Path) -> None:
    assert write_probe(tmp_path) == VolumeFeatures()
    assert VolumeFeatures().limitations() == ()
    assert left(tmp_path) == []


def test_a_probe_that_was_killed_is_removed_by_the_next_one(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_INSIDE, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert len(left(tmp_path)) == 1

    write_probe(tmp_path)

    assert left(tmp_path) == []


def test_a_probe_that_runs_in_parallel_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f"{PROBE_PREFIX}1-x"
    other.mkdir()
    just_made = tmp_path / f"{PROBE_PREFIX}2-y"
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


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))

    write_probe(tmp_path)

    assert set(tmp_path.rglob("*")) == before


def test_a_probe_whose_folder_another_one_removes_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between creating and locking its file, or where locks exclude nobody, a probe seems to be dead."""
    real, removed = os.symlink, list[Path]()

    def symlink(target: str, link: Path) -> None:
        if not removed:
            removed.append(link.parent)
            link.parent.rename(tmp_path / "elsewhere")
        real(target, link)

    monkeypatch.setattr(os, "symlink", symlink)

    assert write_probe(tmp_path) == VolumeFeatures()
    assert removed
    assert left(tmp_path) == []


def test_a_probe_whose_folders_are_always_removed_fails_as_one_that_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(source: Path, _: Path) -> None:
        shutil.rmtree(source.parent)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "replace", replace)

    with pytest.raises(FileNotFoundError):
        write_probe(tmp_path)
