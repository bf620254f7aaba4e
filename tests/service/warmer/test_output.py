"""Streams that cannot be written: a warm, a repair and an import end as the cache ends, whoever reads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.service.warmer.archives import cache_of, export
from tests.service.warmer.fixtures import Workspace


def closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def run(argv: list[str], stdout: int | IO[bytes], stderr: int | IO[bytes]) -> int:
    return subprocess.run(
        [sys.executable, "-m", "cache_warmer", *argv], stdout=stdout, stderr=stderr, check=False, timeout=60
    ).returncode


@pytest.mark.parametrize("kind", [closed_pipe, full_disk])
@pytest.mark.parametrize("streams", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("form", ["json", "table"])
def test_a_warm_succeeds_if_the_cache_is_complete(
    workspace: Workspace, kind: object, streams: str, form: str
) -> None:
    assert callable(kind)
    broken = kind()
    out = subprocess.DEVNULL if streams == "stderr" else broken
    err = subprocess.DEVNULL if streams == "stdout" else broken
    argv = [*workspace.arguments("warm", "--verbose"), "--format", form]

    assert run(argv, out, err) == 0
    os.close(broken)

    assert list(workspace.cache.glob(".model-cache/manifests/*.json"))


@pytest.mark.parametrize("kind", [closed_pipe, full_disk])
def test_a_failed_warm_keeps_its_code(workspace: Workspace, kind: object) -> None:
    assert callable(kind)
    broken = kind()
    argv = workspace.arguments("warm")
    argv[argv.index("--wheel-base") + 1] = f"{workspace.hub.url}/nothing"

    assert run(argv, broken, broken) == 21
    os.close(broken)


def test_the_reader_of_both_streams_may_leave_after_one_line(workspace: Workspace) -> None:
    argv = [sys.executable, "-m", "cache_warmer", *workspace.arguments("warm", "--verbose")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as warm:
        assert warm.stdout is not None
        warm.stdout.readline()
        warm.stdout.close()
        assert warm.wait(60) == 0


@pytest.mark.parametrize("kind", [closed_pipe, full_disk])
def test_an_import_succeeds_if_the_generation_is_there(
    workspace: Workspace, tmp_path: Path, kind: object
) -> None:
    assert callable(kind)
    assert workspace.warm().reason == "OK"
    export(workspace, tmp_path / "generation.tar")
    other, broken = cache_of(workspace, "other"), kind()

    argv = [
        "import",
        str(tmp_path / "generation.tar"),
        "--catalog",
        str(workspace.catalog),
        "--cache",
        str(other),
    ]
    assert run(argv, broken, broken) == 0
    os.close(broken)

    assert list(other.glob(".model-cache/manifests/*.json"))
