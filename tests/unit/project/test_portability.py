"""What Windows lacks is used behind a guard only: modules, functions of `os`, signals, flags.

A guard is a question in the same function, or at the level of the module: `hasattr(os, "fchmod")`, `os.name`,
`sys.platform`, or `try` with `except ImportError` or `except AttributeError`. `UNGUARDED` lists what needs none.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.without_posix import CALLS, FLAGS, MODULES, SIGNALS
from tests.unit.project.test_rules import SOURCES, name, offenders, tree

POSIX_MODULES: Final = {*MODULES, "posix", "pty", "syslog", "tty"}
POSIX_NAMES: Final = {
    "os": {
        *CALLS, *FLAGS, "WEXITSTATUS", "WIFEXITED", "forkpty", "getloadavg", "getpgid", "initgroups", "nice", "openpty",
        "posix_spawn", "register_at_fork", "sendfile", "setegid", "seteuid", "setgroups", "setpgid", "waitid",
    },
    "signal": {*SIGNALS, "pthread_kill", "pthread_sigmask", "setitimer", "sigwait"},
    "asyncio": {"start_unix_server", "open_unix_connection"},
}  # fmt: skip
# Uses without a guard of their own, by file, each with its reason.
_HAS_CALL: Final = "the module asks at its beginning, because threads call it for every piece of a body"
UNGUARDED: Final = {
    "src/cache_warmer/disk/positioned_io.py": {"os.pread": _HAS_CALL, "os.pwrite": _HAS_CALL},
}
GUARDS: Final = re.compile(
    r"hasattr\((?:os|signal|asyncio), |os\.name\b|sys\.platform\b|except (?:\w+, )?\(?(?:AttributeError|ImportError)"
)

Node = ast.AST


def unguarded(path: Path) -> list[str]:
    """Return what a module uses without a guard, with the line."""
    return [
        f"{used} (line {line})"
        for used, line, scope in _posix_uses(tree(path))
        if not GUARDS.search(ast.unparse(scope)) and used not in UNGUARDED.get(name(path), {})
    ]


def _posix_uses(module: ast.Module) -> Iterator[tuple[str, int, Node]]:
    """Yield each use with its line and its guard's scope: the innermost function, or the statement of the module."""
    for statement in module.body:
        yield from _uses_in(statement, statement)


def _uses_in(node: Node, scope: Node) -> Iterator[tuple[str, int, Node]]:
    for child in ast.iter_child_nodes(node):
        inner = child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope
        yield from _uses_in(child, inner)
    line = getattr(node, "lineno", 0)
    if isinstance(node, ast.Import):
        yield from ((one.name, line, scope) for one in node.names if one.name in POSIX_MODULES)
    elif isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
        yield str(node.module), line, scope
    elif (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in POSIX_NAMES.get(node.value.id, ())
    ):
        yield f"{node.value.id}.{node.attr}", line, scope


def test_what_windows_lacks_is_used_behind_a_guard() -> None:
    assert offenders(SOURCES, unguarded) == []


def test_each_exception_is_needed() -> None:
    used = {name(path): {one for one, _, _ in _posix_uses(tree(path))} for path in SOURCES}
    stale = {file: set(uses) - used.get(file, set()) for file, uses in UNGUARDED.items()}
    assert not any(stale.values()), stale


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import fcntl", 1),
        ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", 0),
        ("def f():\n    return os.getuid()", 1),
        ("def f():\n    return os.getuid() if hasattr(os, 'getuid') else None", 0),
        ("def f():\n    if hasattr(os, 'getuid'): pass\ndef g():\n    os.getuid()", 1),
        ("X = os.O_NOFOLLOW", 1),
        ("X = getattr(os, 'O_NOFOLLOW', 0)", 0),
        ("async def f():\n    from resource import getrlimit", 1),
    ],
)
def test_the_rule_sees_guards(text: str, count: int) -> None:
    uses = [use for use in _posix_uses(ast.parse(text)) if not GUARDS.search(ast.unparse(use[2]))]
    assert len(uses) == count
