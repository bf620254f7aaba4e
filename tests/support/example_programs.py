"""Run what users run: the examples, and the commands and programs of the pages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_OWN_PROGRAMS: Final = Path(sys.executable).parent
NAMES: Final = "Ayşe Yılmaz (PER), Kassel (LOC), Bremen (LOC)"  # in one statement of the interview
SECONDS: Final = 120  # that a program may take, on a busy machine


def needed(program: str, remedy: str) -> str:
    """Return the path of a program, or skip the test with the reason; CI turns the skip into a failure."""
    found = shutil.which(program, path=f"{_OWN_PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{program} is not there: {remedy}")
    return found


def base_python() -> str:
    """Return a Python that has the base install in its oldest packages, or skip the test."""
    return needed(str(ROOT / ".venv-floor/bin/python"), "make test-examples makes this environment")


def run(command: Sequence[str], target: str, folder: Path = ROOT, **variables: str) -> str:
    """Run a program with the worker's address in its environment and return its stdout.

    Args:
        command: program and arguments.
        target: the address of the worker: of its HTTP port if it begins with `http`, else for gRPC.
        folder: the working folder.
        variables: additional environment.

    Raises:
        AssertionError: the exit code is not 0; with its output.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(target, **variables), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, encoding="utf-8", timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(target: str, **variables: str) -> dict[str, str]:
    """Return the environment of a program that calls the worker at an address; see `run`."""
    return {
        "PATH": f"{_OWN_PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "LANG": "C.UTF-8",
        "QDA_URL" if target.startswith("http") else "QDA_TARGET": target,
        **variables,
    }


def interview_rows(output: str) -> list[list[str]]:
    """Return the fields of each statement of the interview: speaker, sentiment, text, entities."""
    found = [line.split("\t") for line in output.splitlines()]
    assert len(found) == len((ROOT / "demo/interview.txt").read_text("utf-8").splitlines())
    assert {row[1] for row in found} == {"positive", "negative", "neutral"}
    assert [row[3] for row in found if "Ayşe" in row[2]] == [NAMES]
    return found
