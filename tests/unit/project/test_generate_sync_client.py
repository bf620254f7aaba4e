"""scripts/generate-sync-client: the committed sync client is the generated one, and unknown changes are errors."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client import AsyncClient, Client

ROOT: Final = Path(__file__).parents[3]
CLIENT: Final = Path("src/qda_worker/client")


def generate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/generate-sync-client", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy what the script reads."""
    for path in (
        "scripts/generate-sync-client",
        "pyproject.toml",
        CLIENT / "async_client.py",
        CLIENT / "async_worker_status.py",
        CLIENT / "sync_client.py",
        CLIENT / "worker_status.py",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    # ruff sorts an import among the project's own only if the package is there.
    (tmp_path / "src/qda").symlink_to(ROOT / "src/qda")
    for package in ("src/qda_worker", CLIENT):
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_committed_sync_client_is_the_generated_one() -> None:
    run = generate(ROOT, "--check")
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr


def test_a_changed_sync_client_is_reported_with_a_diff_and_restored(project: Path) -> None:
    target = project / CLIENT / "sync_client.py"
    committed = target.read_text(encoding="utf-8")
    replace(target, "    def close(self) -> None:", "    def shut(self) -> None:")
    changed = target.read_text(encoding="utf-8")
    run = generate(project, "--check")
    assert run.returncode == 1
    assert "-    def shut(self) -> None:\n+    def close(self) -> None:\n" in run.stdout
    assert "make sync-client" in run.stderr
    assert target.read_text(encoding="utf-8") == changed
    assert generate(project).returncode == 0
    assert target.read_text(encoding="utf-8") == committed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "A client belongs to one event loop.",
            "A client belongs to an event loop.",
            "found 0 times instead of once",
        ),
        (
            "await self._transport.close()",
            "await asyncio.wait_for(self._transport.close(), 1)",
            "'asyncio' is left",
        ),
    ],
)
def test_a_passage_that_the_script_does_not_know_is_an_error(
    project: Path, old: str, new: str, message: str
) -> None:
    replace(project / CLIENT / "async_client.py", old, new)
    for arguments in ([], ["--check"]):
        run = generate(project, *arguments)
        assert run.returncode == 1
        assert message in run.stderr


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        public = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in public if name[0] != "_"}

    assert methods(Client) == methods(AsyncClient)
    assert all(getattr(Client, name).__doc__ for name in methods(Client))
