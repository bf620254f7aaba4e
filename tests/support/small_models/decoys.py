"""Files that the real repositories hold too and that nobody loads: a warmer which fetches them fetches too much.

They are no valid weights, so that a library which picks one of them fails instead of answering from it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

DECOY_BYTES: Final = 1_000_000
_LINE: Final = b"This file is never loaded. "


def write_decoys(folder: Path, names: Sequence[str], title: str) -> None:
    """Return a README and one file of DECOY_BYTES bytes for each name, which may hold folders."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((_LINE * (DECOY_BYTES // len(_LINE) + 1))[:DECOY_BYTES])
    readme = f"# {title}\n\nMade by tests/support/small_models for the demo and the tests; of no use for real texts.\n"
    (folder / "README.md").write_text(readme, "utf-8")
