"""The program `cache-check`: table, JSON, paths and exit codes."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.catalog.catalog import generation
from model_cache.catalog.parse import load_catalog
from model_cache.check.cli import cache_check
from model_cache.errors import CatalogInvalid, UsageError
from model_cache.explanations import explanation_hint
from tests.support.cache_trees import MODELS, CacheTree, build_cache
from tests.support.explained import explained

CATALOG: Final = """\
apiVersion: qda/v1
kind: Catalog
models:
  - key: mood
    task: sentiment
    huggingface: {repository: org/mood, revision: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,
                  files: [config.json, model.safetensors, sub/*.json]}
  - key: names
    task: entities
    spacy:
      package: de_test
      version: 3.8.0
      url: https://x.test/de_test-3.8.0-py3-none-any.whl
      sha256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
"""


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    (tmp_path / "c.yaml").write_text(CATALOG)
    assert generation(load_catalog(tmp_path / "c.yaml").models) == generation(MODELS)
    return build_cache(tmp_path / "cache")


def cache_check_in(tree: CacheTree, *argv: str, **environ: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    options = ["--catalog", str(tree.root.parent / "c.yaml"), "--cache", str(tree.root), *argv]
    return cache_check(options, environ, out, err), out.getvalue(), err.getvalue()


def document(tree: CacheTree, *argv: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = cache_check_in(tree, "--format", "json", *argv)
    return code, explained(json.loads(out))


def test_json_has_the_keys_of_the_contract_in_their_order(tree: CacheTree) -> None:
    code, report = document(tree)
    assert code == 0
    assert list(report)[:8] == [
        "reason", "generation", "cache", "tier", "bytes", "files", "seconds", "models",
    ]  # fmt: skip
    assert list(report["models"][0]) == [
        "key", "task", "source", "revision", "reason", "bytes", "files", "path", "problems",
    ]  # fmt: skip
    assert (report["reason"], report["tier"], report["cache"]) == ("OK", "fast", str(tree.root))
    assert report["generation"] == generation(MODELS)
    assert report["files"] == 7


def test_json_has_each_problem_with_its_remedy(tree: CacheTree) -> None:
    tree.blob("config.json").unlink()
    code, report = document(tree, "--deep")
    assert code == 10
    assert report["reason"] == "CACHE_INCOMPLETE"
    (problem,) = report["models"][0]["problems"]
    assert list(problem) == ["file", "reason", "detail", "remedy", "help"]
    assert report["help"] == problem["help"] == explanation_hint("CACHE_INCOMPLETE")
    assert problem["file"] == str(tree.snapshot_file("config.json"))
    assert f"--cache {tree.root}" in problem["remedy"]
    assert report["tier"] == "deep"


def test_the_table_ends_with_the_summary(tree: CacheTree) -> None:
    code, out, err = cache_check_in(tree)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["MODEL", "TASK", "SOURCE", "REVISION", "FILES", "SIZE", "STATE"]
    assert lines[1].split() == ["mood", "sentiment", "org/mood", "aaaaaaaaaaaa", "3", "7.0", "kB", "OK"]
    assert lines[-1].startswith("OK: mood, names: complete (7 files, 12.0 kB, fast check in ")


def test_the_table_names_the_file_the_places_and_the_remedy(tree: CacheTree) -> None:
    tree.spacy_file("meta.json").write_bytes(b"longer")
    code, out, _ = cache_check_in(tree)
    verdict, more = out.splitlines()[-2:]
    assert more == "more: cache-warmer explain CACHE_CORRUPT (docs/reasons.md#cache_corrupt)"
    assert code == 11
    assert f"CACHE_CORRUPT: names: {tree.spacy_file('meta.json')}: has 6 bytes where 2 should be" in out
    assert f"spacy        {tree.root}/spacy" in out
    assert verdict.startswith(f"CACHE_CORRUPT: {tree.spacy_file('meta.json')}: ")
    assert "Remedy: run `cache-warmer repair --catalog " in verdict


def test_paths_are_one_line_per_model(tree: CacheTree) -> None:
    code, out, err = cache_check_in(tree, "--paths")
    rows = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row[0] for row in rows] == ["mood", "names"]
    assert [Path(row[1]).is_dir() for row in rows] == [True, True]


def test_paths_of_a_damaged_cache_print_the_problem_to_stderr(tree: CacheTree) -> None:
    tree.manifest.unlink()
    code, out, err = cache_check_in(tree, "--paths")
    assert code == 10
    assert len(out.splitlines()) == 2
    assert err.startswith("cache-check: CACHE_INCOMPLETE: ")


def test_one_model_is_checked_by_its_own_record(tree: CacheTree) -> None:
    tree.manifest.unlink()
    tree.spacy_file("meta.json").unlink()
    assert document(tree, "--model", "mood")[0] == 0
    assert document(tree, "--model", "names")[0] == 10
    assert cache_check_in(tree, QDA_MODELS="mood")[0] == 0


def test_an_unknown_model_is_a_usage_error(tree: CacheTree) -> None:
    with pytest.raises(UsageError, match='did you mean "mood"'):
        cache_check_in(tree, "--model", "mod")


def test_a_bad_catalog_is_reported_before_the_cache_is_checked(tree: CacheTree) -> None:
    (tree.root.parent / "c.yaml").write_text(CATALOG.replace("b" * 64, "main"))
    with pytest.raises(CatalogInvalid):
        cache_check_in(tree)


def test_a_deep_check_shows_progress_unless_quiet(tree: CacheTree) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = {}
    for flags in ([], ["--quiet"]):
        err = Terminal()
        options = ["--catalog", str(tree.root.parent / "c.yaml"), "--cache", str(tree.root), "--deep", *flags]
        assert cache_check(options, {}, io.StringIO(), err) == 0
        shown[bool(flags)] = err.getvalue()
    assert "read 12.0 kB of 12.0 kB (100 %)\n" in shown[False]
    assert shown[True] == ""


@pytest.mark.parametrize(
    ("argv", "code"),
    [(["--cache", "/nowhere"], 10), (["--fromat"], 2), (["--catalog", "/nowhere.yaml"], 3), (["--help"], 0)],
)
def test_the_program_ends_with_the_exit_codes_of_the_contract(argv: list[str], code: int) -> None:
    command = [sys.executable, "-m", "model_cache.check.cli", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_fast_check_imports_nothing_heavy() -> None:
    """The start-up time depends on it."""
    code = "import sys, model_cache.check.cli as c; c.load_catalog(None); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {
        "asyncio",
        "dataclasses",
        "inspect",
        "yaml",
        "concurrent.futures",
        "importlib.metadata",
        "logging",
        "difflib",
        "shutil",
        "subprocess",
    }
    assert not heavy & loaded
