"""Renames on Windows, where a file that is open cannot be renamed or replaced."""

import errno
import os
from pathlib import Path

import pytest

from model_cache.file_io import rename


class OpenElsewhereError(PermissionError):
    """An error of Windows with the code `winerror`."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.EACCES, "in use")
        self.winerror = code


class Renames:
    """Fails a number of times, then renames."""

    def __init__(self, failures: int, error: OSError) -> None:
        self.failures, self.error = failures, error
        self.waited: list[float] = []

    def __call__(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        os.replace(source, target)


@pytest.mark.parametrize("code", [5, 32, 33, 1224])
def test_a_file_that_a_scanner_has_open_for_a_moment_is_renamed(tmp_path: Path, code: int) -> None:
    (tmp_path / "new").write_text("new")
    renames = Renames(3, OpenElsewhereError(code))

    rename(tmp_path / "new", tmp_path / "file", replace=renames, sleep=renames.waited.append)

    assert (tmp_path / "file").read_text() == "new"
    assert len(renames.waited) == 3


def test_a_file_that_stays_open_fails_after_less_than_two_seconds(tmp_path: Path) -> None:
    renames = Renames(100, OpenElsewhereError(32))
    with pytest.raises(OpenElsewhereError):
        rename(tmp_path / "new", tmp_path / "file", replace=renames, sleep=renames.waited.append)
    assert 1 < sum(renames.waited) < 2


def test_other_failures_are_not_waited_for(tmp_path: Path) -> None:
    renames = Renames(1, PermissionError(errno.EACCES, "denied"))
    with pytest.raises(PermissionError):
        rename(tmp_path / "new", tmp_path / "file", replace=renames, sleep=renames.waited.append)
    assert renames.waited == []
