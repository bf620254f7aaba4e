"""Changed files are read again; what cannot be used keeps the former value and is tried again."""

from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.file_reload import FileReload


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / "first", tmp_path / "second"]


def watch(paths: list[Path], errors: list[str]) -> FileReload[str]:
    def read() -> str:
        text = "".join(path.read_text() for path in paths)
        if "bad" in text:
            raise UsageError("bad", "write another text")
        return text

    return FileReload(paths, read, lambda error: errors.append(error.message))


def test_files_that_change_one_after_the_other_are_used_when_they_fit(paths: list[Path]) -> None:
    for path in paths:
        path.write_text("old ")
    errors: list[str] = []
    files = watch(paths, errors)
    assert files.reload_if_changed() is None
    paths[0].write_text("bad half")
    assert [files.reload_if_changed(), files.reload_if_changed()] == [None, None]
    assert (files.current, errors) == ("old old ", ["bad", "bad"])
    paths[0].write_text("newer ")
    assert files.reload_if_changed() == files.current == "newer old "
    assert files.reload_if_changed() is None


def test_the_same_content_in_another_file_is_no_change(paths: list[Path]) -> None:
    for path in paths:
        path.write_text("old ")
    files = watch(paths, [])
    paths[1].unlink()
    paths[1].write_text("old ")
    assert files.reload_if_changed() is None


def test_files_that_cannot_be_used_at_first_are_an_error(paths: list[Path]) -> None:
    for path in paths:
        path.write_text("bad ")
    with pytest.raises(UsageError):
        watch(paths, [])
