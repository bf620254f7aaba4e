"""The public names of the package: complete, and without heavy imports."""

import ast
import subprocess
import sys
from pathlib import Path

import qda_worker.client
from qda_worker.client import errors


def test_every_public_name_can_be_imported_and_no_other() -> None:
    for name in qda_worker.client.__all__:
        assert getattr(qda_worker.client, name) is not None
    assert set(qda_worker.client.__all__) <= set(dir(qda_worker.client))
    assert not hasattr(qda_worker.client, "Clinet")


def test_type_checkers_see_the_names_that_are_imported_lazily() -> None:
    """The imports for type checkers and the table of the lazy imports name the same."""
    tree = ast.parse(Path(qda_worker.client.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qda_worker.client.")
        for alias in node.names
    }
    assert imported == set(qda_worker.client.__all__) == set(qda_worker.client._MODULE_BY_NAME)


def test_every_error_is_public_and_documented_in_the_tree() -> None:
    leaves = [name for name, value in vars(errors).items() if isinstance(value, type)]
    own = [name for name in leaves if issubclass(getattr(errors, name), errors.ClientError)]
    assert set(own) <= set(qda_worker.client.__all__)
    assert all(name in str(errors.__doc__) for name in own)
    codes = [getattr(errors, name).exit_code for name in own]
    assert all(f" {code} " in str(errors.__doc__) for code in codes)


def loaded(statement: str) -> set[str]:
    """Return the heavy modules that a new interpreter has imported after a statement."""
    heavy = ["google.protobuf", "grpc", "grpc.aio", "numpy", "structlog", "torch"]
    code = f"import sys; {statement}; print(*[name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=_environment()
    )
    return set(run.stdout.split())


def _environment() -> dict[str, str]:
    """Let the interpreter import the package from where this test did."""
    return {"PYTHONPATH": str(Path(qda_worker.client.__file__).parents[2])}


def test_the_program_parses_options_without_grpc() -> None:
    assert loaded("import qda_worker.client.cli.main") == set()


def test_the_client_imports_grpc_and_not_numpy() -> None:
    assert loaded("from qda_worker.client import Client") <= {"google.protobuf", "grpc", "grpc.aio"}
