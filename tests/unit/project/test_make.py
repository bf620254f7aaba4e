"""The targets of the Makefile, run with make itself."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
ABSENT: Final = ["images"]
VERBS: Final = [
    "help",
    "demo",
    "test",
    "test-compose",
    "test-examples",
    "test-cluster",
    "test-cluster-faults",
    "check",
    "bench",
    "bench-full",
    "proto",
    "clean",
    "soak",
    *ABSENT,
]


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a folder with the Makefile and what its environments are made from, and nothing else of the project."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "constraints", tmp_path / "constraints")
    (tmp_path / "src").mkdir()
    return tmp_path


def test_make_without_arguments_lists_every_target_of_the_contract() -> None:
    shown = make()
    assert shown.returncode == 0
    explained = {
        line.split()[0]
        for line in shown.stdout.splitlines()
        if line.startswith("  ") and len(line.split()) > 1
    }
    assert set(VERBS) <= explained


@pytest.mark.parametrize("verb", ABSENT)
def test_a_target_without_its_files_fails_with_one_line_and_status_2(bare: Path, verb: str) -> None:
    answer = make(verb, folder=bare)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert f"make {verb}: " in answer.stderr
    assert "does not exist yet" in answer.stderr


def test_an_old_python_is_refused_by_name(bare: Path) -> None:
    old = bare / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")  # it fails the question for its version, as an old one does
    old.chmod(0o755)
    answer = make("demo", f"PYTHON={old}", folder=bare)
    assert answer.returncode == 2
    assert f"Python 3.11 or newer is required, but {old} is older" in answer.stderr
    assert not (bare / ".venv").exists()


def test_without_python_make_prints_how_to_set_one(bare: Path) -> None:
    answer = make("demo", "PYTHON=", folder=bare)
    assert answer.returncode == 2
    assert "make PYTHON=" in answer.stderr
