"""What writes to a cache works without the calls that Windows lacks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.service.warmer.fixtures import Workspace, build_workspace

ROOT: Final = Path(__file__).parents[3]
# Above which a body is fetched in ranges, with a journal and threads of its own.
SPLIT: Final = 33 << 20


def run(*commands: list[str]) -> list[int]:
    """Run commands in a Python without POSIX calls; return their exit codes."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.without_posix", json.dumps(commands)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    codes: list[int] = json.loads(ended.stdout.splitlines()[-1])
    assert not any(codes), ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return codes


def options(workspace: Workspace, cache: Path) -> list[str]:
    return ["--catalog", str(workspace.catalog), "--cache", str(cache)]


def test_plan_warm_repair_export_import_and_collect(workspace: Workspace, tmp_path: Path) -> None:
    archive, other = tmp_path / "generation.tar", tmp_path / "other"
    commands = [
        workspace.arguments("plan"),
        workspace.arguments("warm"),
        ["cache-check", "--deep", *options(workspace, workspace.cache)],
        workspace.arguments("repair"),
        ["export", "-o", str(archive), *options(workspace, workspace.cache)],
        ["import", str(archive), *options(workspace, other)],
        ["cache-check", "--deep", *options(workspace, other)],
        ["collect", "--apply", *options(workspace, workspace.cache)],
    ]
    assert run(*commands) == [0] * len(commands)


def test_lock_pins_a_catalog(workspace: Workspace) -> None:
    commits = {repository.commit for repository in workspace.repositories}
    text = workspace.catalog.read_text()
    for commit in commits:
        text = text.replace(commit, "main")
    workspace.catalog.write_text(text)

    assert run(workspace.arguments("lock"), workspace.arguments("warm")) == [0, 0]

    assert all(commit in workspace.catalog.read_text() for commit in commits)


def test_a_body_in_ranges_and_one_that_is_resumed(tmp_path: Path) -> None:
    for name in ("workspace", "hub"):
        (tmp_path / name).mkdir()
    big = build_workspace(tmp_path / "workspace", tmp_path / "hub", big=SPLIT)
    with big.hub:
        assert run(big.arguments("warm")) == [0]
        (blob,) = (path for path in big.cache.glob("**/blobs/*") if path.stat().st_size == SPLIT)
        content = blob.read_bytes()
        with blob.open("r+b") as file:
            file.seek(SPLIT // 2)
            file.write(b"damaged")
        assert run(big.arguments("repair")) == [0]
    assert blob.read_bytes() == content


def test_a_host_cache(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    argv = workspace.arguments("warm")
    argv[argv.index("--cache") + 1] = "host"

    assert run(argv, argv) == [0, 0]
