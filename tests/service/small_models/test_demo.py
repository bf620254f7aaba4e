"""A failed step fails the demo. `make demo` itself runs in CI, after the tests."""

import sys
from pathlib import Path
from typing import Final

import pytest

from demo.programs import DemoFailed, environment, run_program, running
from demo.steps import empty, read_only

WAITS: Final = "import time; print('ready', flush=True); time.sleep(60)"


def test_a_failed_command_fails_the_demo_with_its_exit_code() -> None:
    with pytest.raises(DemoFailed, match=r"cache-check .* exit code 2"):
        run_program("cache-check", "--no-such-option")


def test_a_program_that_does_not_stop_fails_the_demo(tmp_path: Path) -> None:
    def run() -> None:
        with running("the worker", [sys.executable, "-c", WAITS], tmp_path / "log") as process:
            assert process.stdout is not None
            process.stdout.readline()

    with pytest.raises(DemoFailed, match="the worker ended with exit code -15"):
        run()


def test_a_failed_step_leaves_no_program_running(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        running("the worker", [sys.executable, "-c", WAITS], tmp_path / "log") as process,
    ):
        raise ZeroDivisionError
    assert process.returncode == -9


def test_a_file_that_the_worker_changes_fails_the_demo(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights").write_text("old")

    def run() -> None:
        with read_only(tmp_path):
            folder.chmod(0o755)  # as whoever is not bound by modes could do
            (folder / "weights").unlink()
            (folder / "weights").write_text("longer")

    with pytest.raises(DemoFailed, match="changed its cache: folder/weights"):
        run()


def test_the_read_only_cache_of_an_earlier_demo_is_deleted(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "folder").mkdir(parents=True)
    (cache / "folder" / "weights").touch(mode=0o444)
    (cache / "folder").chmod(0o555)
    empty(cache)
    assert not cache.exists()


def test_variables_that_change_what_programs_do_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "HF_TOKEN", "QDA_CACHE", "https_proxy"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert "elsewhere" not in environment().values()
    assert environment()["LANG"] == "C.UTF-8"
