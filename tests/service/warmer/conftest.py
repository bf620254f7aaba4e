"""What each test has: a running fake hub, a catalog, and a cache that does not exist yet."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory  # the library offers no way back

from tests.service.warmer.fixtures import Workspace, build_workspace


@pytest.fixture
def tmp_path(public_folder: Path) -> Path:
    """Return a folder that other users can enter: some of these tests act as another user."""
    return public_folder


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder, hub = tmp_path / "workspace", tmp_path / "hub"
    folder.mkdir()
    hub.mkdir()
    new = build_workspace(folder, hub)
    with new.hub:
        yield new
    # the hub library keeps the session that the warmer gave it, for all later calls in this process
    huggingface_hub.set_client_factory(default_client_factory)
