"""The staging file while it grows: what another process does to it is noticed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.errors import LeaseLost
from cache_warmer.transfer.download import ExpectedContent
from cache_warmer.transfer.partial_file import PartialFile

SIZE: Final = 40_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.incomplete"


@pytest.fixture
def file(path: Path) -> Iterator[PartialFile]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    expected = ExpectedContent(SIZE, "1" * 64, None, "lock")
    new = PartialFile(descriptor, path, expected, lambda _: None, lambda: None, big=True)
    yield new
    assert new.close()
    os.close(descriptor)


def test_a_file_that_another_run_took_and_cut_ends_the_wait_for_its_hash(
    file: PartialFile, path: Path
) -> None:
    """Its owner was suspended for so long that it seemed to be dead; then it goes on."""
    chunk = bytes(1_000_000)
    for at in range(1_000_000, SIZE, len(chunk)):
        file.write(file.epoch, at, chunk)
    os.truncate(path, 2_000_000)
    file.write(file.epoch, 0, chunk)

    with pytest.raises(LeaseLost, match=path.name):
        file.hashes()


def test_a_restart_makes_the_file_shorter_without_a_failure(file: PartialFile) -> None:
    for _ in range(20):
        file.write(file.epoch, 0, bytes(2_000_000))
        file.restart(file.epoch)
    file.write(file.epoch, 0, b"abc")

    assert file.hashes()[0] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
