"""Without the hub client a warm fails before it writes to the volume."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.service.warmer.fixtures import Workspace

WITHOUT: Final = (
    "import sys; sys.modules['huggingface_hub'] = None; from cache_warmer.cli import main; main()"
)


def test_a_warm_without_its_extra_fails_before_anything_is_written(workspace: Workspace) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    command = [sys.executable, "-c", WITHOUT, *workspace.arguments("warm")]

    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 2, ended.stderr
    assert "pip install 'qda-worker[warmer]'" in ended.stderr
    assert not workspace.cache.exists()


def test_a_complete_cache_needs_no_extra(workspace: Workspace) -> None:
    assert workspace.warm().reason == "OK"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    command = [sys.executable, "-c", WITHOUT, *workspace.arguments("warm")]

    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
