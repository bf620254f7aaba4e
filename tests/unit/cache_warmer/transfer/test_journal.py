"""The set of bytes that are present, and its record that outlives a process."""

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_warmer.transfer.journal import Extents, Journal, journal_path, read_journal

SIZE: Final = 60
PAIRS: Final = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=12)


@given(PAIRS)
def test_extents_are_the_set_of_the_bytes_that_were_added(pairs: list[tuple[int, int]]) -> None:
    extents = Extents(pairs)
    present = {byte for start, end in pairs for byte in range(start, end)}

    assert extents.total == len(present)
    assert {byte for start, end in extents.pairs() for byte in range(start, end)} == present
    assert {byte for start, end in extents.holes(SIZE) for byte in range(start, end)} == set(
        range(SIZE)
    ) - present
    assert extents.prefix == next((byte for byte in range(SIZE + 1) if byte not in present), 0)
    assert extents.end == max(present, default=-1) + 1
    ends = [place for pair in extents.pairs() for place in pair]
    assert ends == sorted(set(ends)), "disjoint, in order, and none touches the next"


def record(staging: Path, written: list[tuple[int, int]], synced: list[list[tuple[int, int]]]) -> None:
    journal = Journal(staging, SIZE, "this boot", 0o644)
    journal.record_written(written)
    for extents in synced:
        journal.record_synced(extents)
    journal.close()


def test_what_was_written_counts_until_the_machine_restarts(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    record(staging, [(0, 30), (40, 50)], [[(0, 10)], [(0, 20)]])

    assert read_journal(staging, SIZE, "this boot") == ((0, 30), (40, 50))
    assert read_journal(staging, SIZE, "the next boot") == ((0, 20),)
    assert read_journal(staging, SIZE, "") == ((0, 20),)


def test_a_journal_of_another_size_counts_for_nothing(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    record(staging, [(0, 30)], [[(0, 30)]])

    assert read_journal(staging, SIZE + 1, "this boot") == ()


def test_no_journal_differs_from_an_empty_one(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "a.incomplete", SIZE, "this boot") is None


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_record_of_synced_bytes_leaves_the_former_one(tmp_path: Path, slot: int) -> None:
    staging = tmp_path / "a.incomplete"
    record(staging, [], [[(0, 10)], [(0, 20)]])
    content = bytearray(journal_path(staging).read_bytes())
    content[slot * 4096 + 12] ^= 1
    journal_path(staging).write_bytes(content)

    assert read_journal(staging, SIZE, "the next boot") == (((0, 20),) if slot else ((0, 10),))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_in_a_journal_are_no_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    staging = tmp_path_factory.mktemp("journal") / "a.incomplete"
    journal_path(staging).write_bytes(content)

    assert read_journal(staging, SIZE, "this boot") == ()


def test_a_fifo_in_place_of_a_journal_neither_blocks_nor_vouches(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    os.mkfifo(journal_path(staging))

    assert read_journal(staging, SIZE, "this boot") == ()


def test_more_holes_than_a_slot_holds_are_recorded_in_part(tmp_path: Path) -> None:
    staging, size = tmp_path / "a.incomplete", 10**12
    pairs = [(at, at + 1) for at in range(0, size, size // 5000)]
    journal = Journal(staging, size, "boot", 0o644)
    journal.record_written(pairs)
    journal.close()

    recorded = read_journal(staging, size, "boot")

    assert recorded
    assert list(recorded) == pairs[: len(recorded)]


def test_a_journal_is_removed_by_its_writer_alone(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    suspended = Journal(staging, SIZE, "boot", 0o644)
    Journal(staging, SIZE, "boot", 0o644).close()

    suspended.remove()

    assert os.path.exists(journal_path(staging))
    suspended.close()
