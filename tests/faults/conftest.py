"""A hub, catalogs and a cache of its own for each fault."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fixtures import Workspace, build
from tests.faults.volumes import missing_capability


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    built = build(tmp_path / "workspace", tmp_path / "cache")
    with built.hub:
        yield built
        built.close()


@pytest.fixture
def mounts() -> None:
    """For tests that mount volumes."""
    if reason := missing_capability():
        pytest.skip(reason)
