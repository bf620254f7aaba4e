"""Reads and writes at a position, with and without the calls of POSIX."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cache_warmer.disk import positioned_io
from cache_warmer.disk.positioned_io import read_at, write_at


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


@pytest.fixture(params=[True, False], ids=["posix", "windows"], autouse=True)
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(positioned_io, "_HAS_PREAD", False)
        monkeypatch.setattr(positioned_io, "_HAS_PWRITE", False)
        for name in ("pread", "pwrite"):
            monkeypatch.delattr(os, name)


def test_what_is_written_at_a_position_is_read_there(descriptor: int) -> None:
    write_at(descriptor, b"works", 6)
    write_at(descriptor, memoryview(b"hello "), 0)
    assert read_at(descriptor, 100, 0) == b"hello works"
    assert (read_at(descriptor, 5, 6), read_at(descriptor, 5, 11)) == (b"works", b"")


def test_threads_with_one_descriptor_do_not_disturb_each_other(descriptor: int) -> None:
    pieces = [bytes([number]) * 997 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: write_at(descriptor, item[1], item[0] * 997), enumerate(pieces)))
        read = list(pool.map(lambda number: read_at(descriptor, 997, number * 997), range(200)))
    assert read == pieces
