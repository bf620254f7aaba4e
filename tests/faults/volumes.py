"""Small volumes that a test mounts, fills and breaks. Needs Linux and root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def missing_capability() -> str:
    """Return why this machine cannot mount volumes; empty if it can."""
    if os.geteuid() != 0:
        return "mounting volumes needs root"
    if not Path("/dev/loop-control").exists():
        return "this machine has no loop devices"
    return ""


@contextmanager
def tmpfs(folder: Path, *, megabytes: int, inodes: int = 0) -> Iterator[Path]:
    """Mount a volume with that many megabytes and inodes (0: no limit on inodes)."""
    folder.mkdir()
    limits = f"size={megabytes}m" + (f",nr_inodes={inodes}" if inodes else "")
    _do("mount", "-t", "tmpfs", "-o", limits, "faults", str(folder))
    try:
        yield folder
    finally:
        _do("umount", "--lazy", str(folder))


@contextmanager
def ext4(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a volume on a loop device that turns read-only when the file system finds an error."""
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    _do("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
    folder.mkdir()
    _do("mount", "-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        yield folder
    finally:
        _do("umount", "--lazy", str(folder))


def break_file_system(folder: Path) -> None:
    """Trigger a file system error in an ext4 volume, even if files are open there."""
    device = os.stat(folder).st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    (Path("/sys/fs/ext4") / name / "trigger_fs_error").write_text("a fault of the test")


def fill(folder: Path) -> Path:
    """Write a file until no block is free, and return it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return ballast


def use_up_inodes(folder: Path, *, leaving: int) -> Path:
    """Create empty files until that many inodes are left, and return their folder."""
    ballast = folder / "ballast"
    ballast.mkdir()
    for number in range(os.statvfs(folder).f_favail - leaving):
        (ballast / str(number)).touch()
    return ballast


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
