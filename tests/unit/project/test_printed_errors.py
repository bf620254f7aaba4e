"""Every error that a program prints passes through `error_lines`, which adds where its reason is explained.

A call that writes to stderr may quote an error only inside a call of `error_lines` (or of `report_error`, which is its
form for `qda-client`).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.unit.project.test_rules import SOURCES, offenders, tree

# Calls that write to stderr: to a stream by its usual names, `print` to one, and the messages of `qda-client`.
WRITES: Final = re.compile(r"(?:^|[._])(?:err|stderr)\.write$|(?:^|_)terminal\.(?:report|_report)$")
STREAM: Final = re.compile(r"(?:^|[._])(?:err|stderr)$")
PRINTS_ERRORS: Final = {"error_lines", "report_error"}
# Values that are errors, by their usual names and by their classes.
ERRORS: Final = re.compile(
    r"^(?:error|failure|known|caught|exception|\w+Error|Interrupted|NoSpace|GateFailed)$"
)


def errors_written_bare(path: Path) -> list[str]:
    """Return the calls of a module that write an error to stderr without `error_lines`."""
    return [
        f"{ast.unparse(call)} (line {call.lineno})"
        for call in ast.walk(tree(path))
        if isinstance(call, ast.Call) and _writes_to_stderr(call) and any(_errors_in(call.args))
    ]


def _writes_to_stderr(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    if called == "print":
        return any(one.arg == "file" and STREAM.search(ast.unparse(one.value)) for one in call.keywords)
    return WRITES.search(called) is not None


def _errors_in(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in PRINTS_ERRORS:
            continue
        if isinstance(node, ast.Name) and ERRORS.match(node.id):
            yield node.id
        yield from _errors_in([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)])


def test_no_error_is_written_without_the_line_that_explains_its_reason() -> None:
    assert offenders(SOURCES, errors_written_bare) == []


def test_the_rule_sees_an_error_in_a_message(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        'err.write(f"{PROGRAM}: {Interrupted()}")\nerr.write(error_lines(P, str(error), error.reason))\n'
    )
    assert [
        any(_errors_in(call.args))
        for call in ast.walk(ast.parse(module.read_text()))
        if isinstance(call, ast.Call) and _writes_to_stderr(call)
    ] == [True, False]
