"""What an earlier run left of a body."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.transfer.journal import Journal, boot_id
from cache_warmer.transfer.staging import staged_extents

SIZE: Final = 60


@pytest.mark.parametrize(
    ("content", "recorded", "expected"),
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
def test_what_is_staged_is_what_file_and_journal_agree_on(
    tmp_path: Path, content: bytes, recorded: list[tuple[int, int]] | None, expected: int
) -> None:
    staging = tmp_path / "a.incomplete"
    staging.write_bytes(content)
    if recorded is not None:
        journal = Journal(staging, SIZE, boot_id(), 0o644)
        journal.record_written(recorded)
        journal.close()

    assert staged_extents(staging, SIZE).total == expected
