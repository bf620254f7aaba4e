"""Free space with its margin, names of volumes, and what a failed write means."""

import errno
import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.disk.atomic import write_file
from cache_warmer.disk.volume import (
    MARGIN_BYTES,
    explain_os_errors,
    retry_temporary,
    volume_error,
    volume_of,
    with_margin,
)
from cache_warmer.errors import VolumeError
from model_cache.containment import CacheBoundary
from model_cache.places import resolve_places
from model_cache.reasons import Reason

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


@pytest.mark.parametrize(
    ("number", "reason", "word"),
    [
        (errno.ESTALE, Reason.VOLUME_UNAVAILABLE, "server of this volume"),
        (errno.ETIMEDOUT, Reason.VOLUME_UNAVAILABLE, "server of this volume"),
        (errno.EBUSY, Reason.VOLUME_UNAVAILABLE, "another program uses"),
        (errno.EAGAIN, Reason.VOLUME_UNAVAILABLE, "another program uses"),
        (errno.EMFILE, Reason.VOLUME_UNAVAILABLE, "ulimit -n"),
        (errno.ENFILE, Reason.VOLUME_UNAVAILABLE, "ulimit -n"),
        (errno.ENOMEM, Reason.VOLUME_UNAVAILABLE, "memory"),
        (errno.ENOENT, Reason.VOLUME_UNAVAILABLE, "changed the cache"),
        (errno.EEXIST, Reason.VOLUME_UNAVAILABLE, "changed the cache"),
        (errno.ENOTEMPTY, Reason.VOLUME_UNAVAILABLE, "changed the cache"),
        (4711, Reason.VOLUME_UNAVAILABLE, "run the same command again"),
        (None, Reason.VOLUME_UNAVAILABLE, "run the same command again"),
        (errno.ENOTSUP, Reason.VOLUME_UNSUITABLE, "POSIX"),
        (errno.ENOSYS, Reason.VOLUME_UNSUITABLE, "POSIX"),
        (errno.ENOTDIR, Reason.VOLUME_UNSUITABLE, "POSIX"),
        (errno.EXDEV, Reason.VOLUME_UNSUITABLE, "POSIX"),
    ],
)
def test_a_failed_call_is_what_it_is(tmp_path: Path, number: int | None, reason: Reason, word: str) -> None:
    error = OSError(number, "as the system says it") if number else OSError("as the system says it")

    explained = volume_error(error, tmp_path)

    assert explained.reason is reason
    assert word in explained.remedy
    assert "as the system says it" in explained.message


@pytest.mark.parametrize(
    ("number", "calls"), [(errno.ESTALE, 3), (errno.EBUSY, 3), (errno.ENOSPC, 1), (errno.EACCES, 1)]
)
def test_what_another_try_can_mend_is_tried_again_and_ends(number: int, calls: int) -> None:
    tried, sleeps = list[int](), list[float]()

    def fail() -> None:
        tried.append(1)
        raise OSError(number, "no")

    with pytest.raises(OSError, match="no"):
        retry_temporary(fail, sleeps.append)

    assert len(tried) == calls
    assert len(sleeps) == calls - 1


def test_a_stale_handle_is_mended_by_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.ESTALE, "Stale file handle")]
    replace = os.replace

    def stale(source: Path, target: Path) -> None:
        if failures:
            raise failures.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", stale)

    write_file(tmp_path / "a" / "b", b"content", CacheBoundary(tmp_path))

    assert (tmp_path / "a" / "b").read_bytes() == b"content"
    assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / "b"]


@pytest.mark.parametrize(
    ("failed", "folder"),
    [
        ("huggingface/hub/models--a--b/blobs", "huggingface/hub"),
        ("spacy/.packages/x", "spacy"),
        (".model-cache/lock", ".model-cache"),
        ("/elsewhere", ".model-cache"),
        (None, ".model-cache"),
    ],
)
def test_the_remedy_names_the_folder_in_which_the_call_failed(
    tmp_path: Path, failed: str | None, folder: str
) -> None:
    places = resolve_places(str(tmp_path), {}, tmp_path)
    for number in (errno.ENOTDIR, errno.ENOSYS):
        error = OSError(number, os.strerror(number), failed and str(tmp_path / failed))
        with pytest.raises(VolumeError) as raised, explain_os_errors(places):
            raise error
        assert f"let {tmp_path / folder} be" in raised.value.remedy


class DeniedByWindowsError(PermissionError):
    """An error with the code of Windows."""

    winerror: int


@pytest.mark.parametrize(("code", "renamed"), [(32, False), (1224, False), (5, True)])
def test_a_file_that_windows_will_not_touch_while_it_is_open_is_told(
    tmp_path: Path, code: int, renamed: bool
) -> None:
    error = DeniedByWindowsError(errno.EACCES, "Sharing violation", str(tmp_path / "blob"))
    error.winerror = code
    error.filename2 = str(tmp_path / "x") if renamed else None

    found = volume_error(error, tmp_path, on_host=True)

    assert found.reason is Reason.VOLUME_UNAVAILABLE
    assert f"{tmp_path / 'blob'}: another program has this file open" in found.message
    assert "worker" in found.remedy


def test_a_denied_access_of_windows_that_is_no_rename_is_about_permissions(tmp_path: Path) -> None:
    error = DeniedByWindowsError(errno.EACCES, "Access denied", str(tmp_path))
    error.winerror = 5
    assert volume_error(error, tmp_path).reason is Reason.NO_PERMISSION
