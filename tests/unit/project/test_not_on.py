"""The list of tests that do not run on Windows or macOS names tests that exist, and gives reasons."""

import ast
import fnmatch
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from tests.support.not_on import LIST, SYSTEMS, Excluded, entries, excluded
from tests.unit.project.test_portability import POSIX_MODULES
from tests.unit.project.test_rules import name, tree

ROOT: Final = Path(__file__).parents[3]


@pytest.mark.parametrize("system", sorted(SYSTEMS.values()))
def test_each_entry_names_a_test_that_exists(system: str) -> None:
    unknown = [entry for entry in entries(system) if not _exists(entry)]
    assert unknown == []


def test_each_group_has_a_reason_and_a_known_system() -> None:
    document = tomllib.loads(LIST.read_text("utf-8"))
    assert set(document) == set(SYSTEMS.values())
    assert all(len(group["reason"]) > 20 for groups in document.values() for group in groups)


def test_files_are_not_collected_and_tests_are_deselected_there_alone() -> None:
    windows = excluded("win32")
    assert windows.has_path("tests/service/worker")
    assert windows.has_test("tests/unit/model_cache/cli/test_completion.py::test_bash_completes[a [b]-c]")
    assert not windows.has_test("tests/unit/model_cache/test_windows_paths.py::test_a_path_below_a_folder[x]")
    assert excluded("linux") == Excluded()


def test_what_imports_modules_that_windows_lacks_is_on_its_list() -> None:
    windows = excluded("win32")
    folders = [ROOT / "tests" / name for name in ("client", "service", "unit")]
    missing = [
        path
        for path in (name(file) for folder in folders for file in folder.rglob("*.py"))
        if imported_packages_at_start(ROOT / path) & POSIX_MODULES
        and not any(windows.has_path(str(one)) for one in (path, *PurePosixPath(path).parents))
    ]
    assert missing == []


def imported_packages_at_start(path: Path) -> set[str]:
    statements = [one for one in tree(path).body if isinstance(one, ast.Import)]
    return {alias.name for one in statements for alias in one.names}


def _exists(entry: str) -> bool:
    file, _, pattern = entry.partition("::")
    path = ROOT / file
    if not pattern:
        return path.exists()
    names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
