"""The package's public face: complete, and light to import."""

import ast
import subprocess
import sys
from pathlib import Path

import qda_worker.client
from qda_worker.client import errors


def test_every_public_name_can_be_loaded_and_no_other() -> None:
    for name in qda_worker.client.__all__:
        assert getattr(qda_worker.client, name) is not None
    assert set(qda_worker.client.__all__) <= set(dir(qda_worker.client))
    assert not hasattr(qda_worker.client, "Clinet")


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    """The imports for type checkers and the table for the lazy loading say the same."""
    tree = ast.parse(Path(qda_worker.client.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qda_worker.client.")
        for alias in node.names
    }
    assert imported == set(qda_worker.client.__all__) == set(qda_worker.client._HOME)


def test_every_error_is_public_and_drawn_in_its_tree() -> None:
    leaves = [name for name, value in vars(errors).items() if isinstance(value, type)]
    own = [name for name in leaves if issubclass(getattr(errors, name), errors.ClientError)]
    assert set(own) <= set(qda_worker.client.__all__)
    assert all(name in str(errors.__doc__) for name in own)
    codes = [getattr(errors, name).exit_code for name in own]
    assert all(f" {code} " in str(errors.__doc__) for code in codes)


def loaded(statement: str) -> set[str]:
    """Which heavy modules a fresh interpreter has after a statement."""
    heavy = ["google.protobuf", "grpc", "grpc.aio", "numpy", "structlog", "torch"]
    code = f"import sys; {statement}; print(*[name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=_environment()
    )
    return set(run.stdout.split())


def _environment() -> dict[str, str]:
    """The package's own folder, wherever these tests have it from."""
    return {"PYTHONPATH": str(Path(qda_worker.client.__file__).parents[2])}


def test_the_program_knows_its_options_without_grpc() -> None:
    assert loaded("import qda_worker.client.cli.main") == set()


def test_the_client_needs_grpc_alone_and_no_numpy() -> None:
    assert loaded("from qda_worker.client import Client") <= {"google.protobuf", "grpc", "grpc.aio"}
