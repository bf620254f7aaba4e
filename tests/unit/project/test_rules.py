"""Rules of the project that no linter checks: sizes, names, docstrings, dialect, imports."""

import ast
import functools
import io
import sys
import tokenize
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
STUBS: Final = ROOT / "src" / "qda"
GENERATED: Final = [ROOT / "src/qda_worker/client" / file for file in ("sync_client.py", "worker_status.py")]
PYTHON_FILES: Final = sorted(
    path
    for folder in ("src", "tests", "demo", "benchmarks", "examples", "images")
    for path in (ROOT / folder).rglob("*.py")
    if STUBS not in path.parents
)
SOURCES: Final = [path for path in PYTHON_FILES if ROOT / "src" in path.parents]
MODULES: Final = [path for path in SOURCES if path.name not in {"__init__.py", "__main__.py"}]
HAND_WRITTEN: Final = [path for path in PYTHON_FILES if path not in GENERATED]

VAGUE_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
# Participles, gerunds and metaphors that stood here as module names, and say little about what is inside.
RIDDLES: Final = {
    "ahead", "answers", "around", "asked", "asking", "backlog", "boundary", "choices", "collecting", "computing",
    "deleting", "durable", "facts", "failures", "fetching", "findings", "growing_file", "intake",
    "keeping", "ledger", "liveness", "locking", "looking", "measuring", "observing", "obstacles", "outside",
    "pace", "placing", "probing", "promises", "reading", "referring", "refusals", "running", "starter", "states",
    "telling", "told", "tokenizing", "trouble", "waiting", "wire", "work",
}  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def offenders(paths: Iterable[Path], found: Callable[[Path], object]) -> list[tuple[str, object]]:
    """Return the files in which `found` returns something, each with that: one test per rule tells of all files."""
    return [(name(path), what) for path in paths if (what := found(path))]


@functools.cache
def source(path: Path) -> str:
    return path.read_text("utf-8")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(source(path))


def test_the_rules_find_modules() -> None:
    assert any(path.is_relative_to(ROOT / "src" / "model_cache") for path in SOURCES)


def test_no_hand_written_module_has_more_than_400_lines() -> None:
    assert offenders(HAND_WRITTEN, lambda path: len(source(path).splitlines()) > 400) == []


def test_no_module_has_a_vague_name() -> None:
    vague = VAGUE_NAMES | RIDDLES
    parts = {path: path.relative_to(ROOT).with_suffix("").parts for path in SOURCES}
    assert offenders(SOURCES, lambda path: not vague.isdisjoint(parts[path])) == []


def test_each_module_has_a_docstring() -> None:
    assert offenders(SOURCES, lambda path: source(path).strip() and not ast.get_docstring(tree(path))) == []


def test_annotations_are_evaluated() -> None:
    postponed = "from __future__ import annotations"
    assert offenders(PYTHON_FILES, lambda path: postponed in source(path).splitlines()) == []


def test_code_in_prose_has_single_backticks() -> None:
    assert offenders(PYTHON_FILES, _places_of_double_backticks) == []


def test_constants_are_final_and_explained_by_comments() -> None:
    def unmarked(path: Path) -> list[str]:
        return [ast.unparse(node) for node in tree(path).body if _is_unmarked_constant(node)]

    def explained(path: Path) -> list[str]:
        return [
            ast.unparse(node)
            for node, after in pairwise(tree(path).body)
            if isinstance(node, ast.Assign | ast.AnnAssign) and _is_text(after)
        ]

    assert offenders(PYTHON_FILES, unmarked) == []
    assert offenders(PYTHON_FILES, explained) == []


def test_named_tuples_are_for_model_cache_alone() -> None:
    """Start-up time decides there; elsewhere values are frozen dataclasses."""
    others = [path for path in SOURCES if not path.is_relative_to(ROOT / "src/model_cache")]

    def named_tuples(path: Path) -> list[str]:
        classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
        return [each.name for each in classes if "NamedTuple" in map(ast.unparse, each.bases)]

    assert offenders(others, named_tuples) == []


def test_model_cache_imports_the_standard_library_and_yaml_only() -> None:
    allowed = sys.stdlib_module_names | {"yaml", "model_cache"}
    modules = sorted((ROOT / "src" / "model_cache").rglob("*.py"))
    assert offenders(modules, lambda path: imported_packages(path) - allowed) == []


@pytest.mark.parametrize("package", ["cache_warmer", "model_cache", "qda", "qda_worker"])
def test_each_package_has_a_py_typed_marker(package: str) -> None:
    assert (ROOT / "src" / package / "py.typed").is_file()


def test_unit_tests_mirror_the_sources() -> None:
    """`tests/unit/a/b/test_c.py`, or `test_c_aspect.py`, tests `src/a/b/c.py`."""
    unit = ROOT / "tests" / "unit"
    astray = [
        name(path)
        for path in unit.rglob("test_*.py")
        if path.parent != unit / "project" and not _mirrored(path.relative_to(unit))
    ]
    assert astray == []


def _places_of_double_backticks(path: Path) -> list[int]:
    """Return the lines of comments and documented nodes with such code."""
    if "``" not in source(path):
        return []
    tokens = tokenize.generate_tokens(io.StringIO(source(path)).readline)
    comments = [token.start[0] for token in tokens if token.type == tokenize.COMMENT and "``" in token.string]
    documented = (ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef, ast.Module)
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, documented)]
    return comments + [
        getattr(node, "lineno", 1) for node in nodes if "``" in (ast.get_docstring(node) or "")
    ]


def _mirrored(test: Path) -> bool:
    folder = ROOT / "src" / test.parent
    return any(
        test.stem == f"test_{path.stem}" or test.stem.startswith(f"test_{path.stem}_")
        for path in folder.glob("*.py")
    )


def _is_unmarked_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if not isinstance(target, ast.Name) or not target.id.isupper() or len(target.id.strip("_")) == 1:
        return False  # type variables have one letter
    annotation = ast.unparse(node.annotation).strip("'\"") if isinstance(node, ast.AnnAssign) else ""
    return not annotation.startswith(("Final", "TypeAlias"))


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def imported_packages(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, wherever in it."""
    packages = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            packages.add(node.module.partition(".")[0])
    return packages
