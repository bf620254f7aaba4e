"""What the base install gives: the wheel, alone with its base dependencies, at their floor.

These tests run only in .venv-floor (`make test`), where no extra is installed and the project came as a wheel; in the
development environment, which has all extras, most of them would prove nothing.
"""

import importlib
import importlib.util
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError

PROGRAMS: Final = ["cache-check", "cache-warmer", "qda-client", "qda-worker"]
HEAVY: Final = [
    "huggingface_hub",
    "defusedxml",
    "openpyxl",
    "pypdf",
    "kubernetes",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "spacy",
    "structlog",
    "torch",
    "transformers",
]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an installed program as a user would."""
    path = Path(sys.executable).with_name(program)
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("package", HEAVY)
def test_nothing_heavy_is_installed(package: str) -> None:
    assert importlib.util.find_spec(package) is None


def test_the_project_is_installed_from_its_wheel() -> None:
    url = json.loads(distribution("qda-worker").read_text("direct_url.json") or "{}")["url"]
    assert url.endswith(".whl")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_each_program_works(program: str) -> None:
    answer = run(program, "--help")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("usage: " + program)


@pytest.mark.parametrize(
    ("program", "arguments", "extra"),
    [("cache-warmer", ["warm"], "warmer"), ("qda-worker", ["serve", "--no-fetch"], "worker")],
)
def test_a_command_whose_extra_is_missing_names_it(
    program: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    answer = run(program, *arguments, "--cache", str(tmp_path / "cache"))
    assert answer.returncode == 2, answer.stderr
    assert f"qda-worker[{extra}]" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_documents_that_need_an_extra_name_it_and_others_are_read(tmp_path: Path) -> None:
    from qda_worker.client.readers.corpus import read_corpus

    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\n")
    answer = run("qda-client", "sentiment", str(tmp_path / "a.pdf"))
    assert answer.returncode == 2, answer.stderr
    assert "qda-worker[files]" in answer.stderr
    (tmp_path / "a.rtf").write_bytes(rb"{\rtf1 gut}")
    assert [segment.text for segment in read_corpus([str(tmp_path / "a.rtf")])] == ["gut"]


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["sentiment", "a.txt", "--output", "r.parquet"], "pyarrow", "tables"),
        (["sentiment", "a.txt", "--output", "r.xlsx"], "openpyxl", "files"),
        (["convert", "r.jsonl", "--output", "r.parquet"], "pyarrow", "tables"),
        (["cite", "r.parquet"], "pyarrow", "tables"),
    ],
)
def test_result_files_that_need_an_extra_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], package: str, extra: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("gut\n")
    (tmp_path / "r.jsonl").write_text(
        '{"id": "1", "text": "gut", "options": {"command": "sentiment"}}\n', encoding="utf-8"
    )
    if arguments[0] == "cite":
        (tmp_path / "r.parquet").write_bytes(b"PAR1")
    answer = run("qda-client", *arguments)
    assert answer.returncode == 2, answer.stderr
    assert f"needs the package {package}, which is not installed" in answer.stderr
    assert f"qda-worker[{extra}]" in answer.stderr


def test_a_data_frame_needs_one_of_two_extras() -> None:
    from qda_worker.client import to_dataframe

    with pytest.raises(UsageError, match="needs the package pandas or polars"):
        to_dataframe([])


def test_the_default_catalog_and_its_lock_are_in_the_wheel(tmp_path: Path) -> None:
    answer = run("cache-check", "--cache", str(tmp_path), "--format", "json")
    assert answer.returncode == 10, answer.stderr
    report = json.loads(answer.stdout)
    assert report["reason"] == "CACHE_INCOMPLETE"
    assert len(report["models"]) == 4


def test_the_explanations_of_reasons_are_in_the_wheel(tmp_path: Path) -> None:
    explained = run("cache-warmer", "explain", "CACHE_INCOMPLETE")
    assert explained.returncode == 0, explained.stderr
    assert "The manifest, or a file that it lists, is missing" in explained.stdout
    answer = run("cache-check", "--cache", str(tmp_path))
    assert answer.stdout.endswith(
        "\nmore: cache-warmer explain CACHE_INCOMPLETE (docs/reasons.md#cache_incomplete)\n"
    )
    unreachable = run("qda-client", "health", "--target", "127.0.0.1:1")
    assert unreachable.stderr.endswith(
        "\nmore: cache-warmer explain NOT_REACHABLE (docs/reasons.md#not_reachable)\n"
    )


@pytest.mark.parametrize("package", ["cache_warmer", "model_cache", "qda", "qda_worker"])
def test_each_package_is_typed_in_the_wheel(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).with_name("py.typed").is_file()


@pytest.mark.parametrize("module", ["analysis", "embedding", "entity", "model", "paraphrase", "sentiment"])
def test_the_stubs_import_at_the_floor(module: str) -> None:
    importlib.import_module(f"qda.v1.{module}_pb2_grpc")


def test_the_client_imports_nothing_beyond_the_base_install() -> None:
    importlib.import_module("qda_worker.client")
