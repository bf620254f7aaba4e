"""An empty home folder of a user on a host, and a fake hub."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory  # the library offers no way back

from tests.service.host.homes import Home
from tests.service.warmer.fixtures import build_workspace


@pytest.fixture
def tmp_path(public_folder: Path) -> Path:
    """Return a folder that other users can enter: some of these tests act as another user."""
    return public_folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    folder, hub = tmp_path / "workspace", tmp_path / "hub"
    folder.mkdir()
    hub.mkdir()
    workspace = build_workspace(folder, hub)
    path = tmp_path / "home"  # tests/conftest.py creates it
    workspace.environ |= {"HOME": str(path)}
    with workspace.hub:
        yield Home(path, workspace)
    # the hub library keeps the session that the warmer gave it, for all later calls in this process
    huggingface_hub.set_client_factory(default_client_factory)
