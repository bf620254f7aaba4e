"""The project's own rules of shape, which no linter knows: sizes, names, docstrings, the ground floor's imports."""

import ast
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
GENERATED: Final = ROOT / "src" / "qda"
SYNC_CLIENT: Final = ROOT / "src/qda_worker/client/sync_client.py"
PYTHON_FILES: Final = sorted(
    path
    for folder in ("src", "tests", "demo")
    for path in (ROOT / folder).rglob("*.py")
    if GENERATED not in path.parents
)
SOURCES: Final = [path for path in PYTHON_FILES if ROOT / "src" in path.parents]
VAGUE_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at() -> None:
    assert any(path.is_relative_to(ROOT / "src" / "model_cache") for path in SOURCES)


@pytest.mark.parametrize("path", [path for path in PYTHON_FILES if path != SYNC_CLIENT], ids=name)
def test_no_module_has_more_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_module_hides_behind_a_name_that_says_nothing(path: Path) -> None:
    assert VAGUE_NAMES.isdisjoint(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", [path for path in SOURCES if path.read_text().strip()], ids=name)
def test_each_module_says_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "model_cache").rglob("*.py")), ids=name)
def test_the_ground_floor_stands_on_the_standard_library_and_yaml(path: Path) -> None:
    assert imported_packages(path) <= sys.stdlib_module_names | {"yaml", "model_cache"}


@pytest.mark.parametrize("package", ["cache_warmer", "model_cache", "qda", "qda_worker"])
def test_each_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (ROOT / "src" / package / "py.typed").is_file()


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    packages = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            packages.add(node.module.partition(".")[0])
    return packages
