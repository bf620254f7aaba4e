"""Which bytes are there, and the note of it that outlives a process."""

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_warmer.transfer.journal import Extents, Journal, journal_path, noted_extents
from cache_warmer.transfer.staging import staged_extents

SIZE: Final = 60
PAIRS: Final = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=12)


@given(PAIRS)
def test_extents_are_the_set_of_the_bytes_that_were_added(pairs: list[tuple[int, int]]) -> None:
    extents = Extents(pairs)
    there = {byte for start, end in pairs for byte in range(start, end)}

    assert extents.total == len(there)
    assert {byte for start, end in extents.pairs() for byte in range(start, end)} == there
    assert {byte for start, end in extents.holes(SIZE) for byte in range(start, end)} == set(
        range(SIZE)
    ) - there
    assert extents.prefix == next((byte for byte in range(SIZE + 1) if byte not in there), 0)
    assert extents.end == max(there, default=-1) + 1
    ends = [place for pair in extents.pairs() for place in pair]
    assert ends == sorted(set(ends)), "disjoint, in order, and none touches the next"


def note(staging: Path, written: list[tuple[int, int]], synced: list[list[tuple[int, int]]]) -> None:
    journal = Journal(staging, SIZE, "this boot", 0o644)
    journal.written(written)
    for extents in synced:
        journal.synced(extents)
    journal.close()


def test_what_was_written_is_believed_until_the_machine_starts_anew(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    note(staging, [(0, 30), (40, 50)], [[(0, 10)], [(0, 20)]])

    assert noted_extents(staging, SIZE, "this boot") == ((0, 30), (40, 50))
    assert noted_extents(staging, SIZE, "the next boot") == ((0, 20),)
    assert noted_extents(staging, SIZE, "") == ((0, 20),)


def test_a_note_about_another_size_says_nothing(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    note(staging, [(0, 30)], [[(0, 30)]])

    assert noted_extents(staging, SIZE + 1, "this boot") == ()


def test_no_note_is_another_thing_than_an_empty_one(tmp_path: Path) -> None:
    assert noted_extents(tmp_path / "a.incomplete", SIZE, "this boot") is None


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_note_of_what_was_synced_leaves_the_one_before(tmp_path: Path, slot: int) -> None:
    staging = tmp_path / "a.incomplete"
    note(staging, [], [[(0, 10)], [(0, 20)]])
    content = bytearray(journal_path(staging).read_bytes())
    content[slot * 4096 + 12] ^= 1
    journal_path(staging).write_bytes(content)

    assert noted_extents(staging, SIZE, "the next boot") == (((0, 20),) if slot else ((0, 10),))


@given(st.binary(max_size=200))
def test_any_bytes_for_a_note_are_no_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    staging = tmp_path_factory.mktemp("note") / "a.incomplete"
    journal_path(staging).write_bytes(content)

    assert noted_extents(staging, SIZE, "this boot") == ()


def test_more_holes_than_a_note_holds_are_noted_in_part(tmp_path: Path) -> None:
    staging, size = tmp_path / "a.incomplete", 10**12
    pairs = [(at, at + 1) for at in range(0, size, size // 5000)]
    journal = Journal(staging, size, "boot", 0o644)
    journal.written(pairs)
    journal.close()

    noted = noted_extents(staging, size, "boot")

    assert noted
    assert list(noted) == pairs[: len(noted)]


@pytest.mark.parametrize(
    ("there", "noted", "expected"),
    [
        (b"", None, 0),
        (b"x" * 30, None, 30),
        (b"x" * SIZE, None, SIZE),
        (b"x" * (SIZE + 1), None, 0),
        (b"x" * 30, [(0, 10), (20, 30)], 20),
        (b"x" * 30, [(0, 10), (20, 40)], 0),
        (b"x" * 30, [], 0),
    ],
)
def test_what_is_staged_is_what_file_and_note_agree_on(
    tmp_path: Path, there: bytes, noted: list[tuple[int, int]] | None, expected: int
) -> None:
    staging = tmp_path / "a.incomplete"
    staging.write_bytes(there)
    if noted is not None:
        journal = Journal(staging, SIZE, Path("/proc/sys/kernel/random/boot_id").read_text().strip(), 0o644)
        journal.written(noted)
        journal.close()

    assert staged_extents(staging, SIZE).total == expected


def test_a_note_is_removed_by_its_writer_alone(tmp_path: Path) -> None:
    staging = tmp_path / "a.incomplete"
    frozen = Journal(staging, SIZE, "boot", 0o644)
    Journal(staging, SIZE, "boot", 0o644).close()

    frozen.remove()

    assert os.path.exists(journal_path(staging))
    frozen.close()
