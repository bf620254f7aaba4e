"""Files that the real repositories contain and no library loads. A warmer must not fetch them.

They are not valid weights, so a library that loads one of them fails.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

DECOY_BYTES: Final = 1_000_000
_LINE: Final = b"This file is never loaded. "


def write_decoys(folder: Path, names: Sequence[str], title: str) -> None:
    """Write a README and one file of DECOY_BYTES bytes for each name; names may contain folders."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((_LINE * (DECOY_BYTES // len(_LINE) + 1))[:DECOY_BYTES])
    readme = f"# {title}\n\nMade by tests/support/small_models for the demo and the tests; of no use for real texts.\n"
    (folder / "README.md").write_text(readme, "utf-8")
