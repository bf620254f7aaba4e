"""Which tests do not run on this system: `tests/not_on.toml`, read by `tests/conftest.py`.

They are neither skipped, which would be a failure in CI, nor in the report: the file says which they are and why.
"""

import fnmatch
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIST: Final = Path(__file__).parents[1] / "not_on.toml"
# Names of the lists, by `sys.platform`.
SYSTEMS: Final = {"win32": "windows", "darwin": "macos"}


@dataclass(frozen=True, slots=True)
class Excluded:
    """The tests that do not run: files and folders, and patterns of test ids, all with slashes."""

    paths: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()

    def has_path(self, path: str) -> bool:
        """Return whether a file or folder of tests, named from the root of the project, is not collected."""
        return path in self.paths

    def has_test(self, node_id: str) -> bool:
        """Return whether a test is deselected. Brackets of its parameters have no meaning in a pattern."""
        return any(fnmatch.fnmatchcase(node_id, pattern.replace("[", "[[]")) for pattern in self.patterns)


def excluded(platform: str = sys.platform, listed: Path = LIST) -> Excluded:
    """Return what does not run on a system; nothing for one without a list."""
    names = entries(SYSTEMS.get(platform, ""), listed)
    return Excluded(
        frozenset(name for name in names if "::" not in name),
        tuple(name for name in names if "::" in name),
    )


def entries(system: str, listed: Path = LIST) -> Iterable[str]:
    """Return the entries of one list: `windows` or `macos`."""
    groups = tomllib.loads(listed.read_text("utf-8")).get(system, [])
    return [name for group in groups for name in group["tests"]]
