"""One world a test: a running hub double, a catalog, and a cache that does not exist yet."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory  # the library offers no way back

from tests.service.warmer.fixtures import World, build_world


@pytest.fixture
def tmp_path(public_folder: Path) -> Path:
    """Some of these tests act as another user."""
    return public_folder


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder, hub = tmp_path / "world", tmp_path / "hub"
    folder.mkdir()
    hub.mkdir()
    built = build_world(folder, hub)
    with built.hub:
        yield built
    # the hub library keeps the session that the warmer gave it, for whoever asks next in this process
    huggingface_hub.set_client_factory(default_client_factory)
