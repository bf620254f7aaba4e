"""A world of its own for each fault."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fixtures import World, build
from tests.faults.volumes import why_not


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = build(tmp_path / "world", tmp_path / "cache")
    with built.hub:
        yield built
        built.close()


@pytest.fixture
def mounts() -> None:
    """For tests that mount volumes."""
    if reason := why_not():
        pytest.skip(reason)
