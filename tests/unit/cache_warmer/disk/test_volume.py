"""Free space with its margin, names of volumes, and what a failed write means."""

import errno
from pathlib import Path
from typing import Final

from cache_warmer.disk.volume import MARGIN_BYTES, volume_error, volume_of, with_margin
from model_cache.places import resolve_places

GB: Final = 10**9


def test_the_margin_grows_with_what_is_written() -> None:
    assert with_margin(0) == 0
    assert with_margin(1) == 1 + MARGIN_BYTES
    assert with_margin(100 * GB) == 102 * GB + MARGIN_BYTES


def test_a_denied_write_names_owner_mode_and_user(tmp_path: Path) -> None:
    places = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    tmp_path.chmod(0o751)
    state = tmp_path.stat()

    error = volume_error(PermissionError(errno.EACCES, "Permission denied", str(tmp_path)), places.hub.path)

    assert f"{state.st_uid}:{state.st_gid} with mode 0751" in error.remedy


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
