"""The command `doctor`: whatever is broken is a finding, and the exit code is that of the worst error."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.errors import UsageError
from tests.support.cache_trees import build_cache
from tests.support.explained import explained


def run(environ: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = cache_warmer(["doctor", "--format", "json", *arguments], environ, out, io.StringIO())
    return code, explained(json.loads(out.getvalue()))


def checks(document: dict[str, Any], severity: str) -> list[str]:
    return [one["check"] for one in document["findings"] if one["severity"] == severity]


def test_a_cache_without_faults_ends_with_0(tmp_path: Path) -> None:
    tree = build_cache(tmp_path / "cache")
    before = sorted(tree.root.rglob("*"))

    code, document = run({"HOME": str(tmp_path)}, "--cache", str(tree.root))

    assert (code, document["reason"], checks(document, "error")) == (0, "OK", [])
    assert sorted(tree.root.rglob("*")) == before


def test_the_exit_code_is_that_of_the_worst_error_and_the_findings_are_sorted(tmp_path: Path) -> None:
    tree = build_cache(tmp_path / "cache")
    tree.blob("config.json").unlink()
    environ = {"HOME": str(tmp_path), "HTTPS_PROXY": "ftp://x", "TRANSFORMERS_CACHE": "/old"}

    code, document = run(environ, "--cache", str(tree.root))

    assert (code, document["reason"]) == (10, "CACHE_INCOMPLETE")
    assert checks(document, "error") == ["broken-snapshot", "proxy"]
    # A cache in memory, as in /dev/shm, is a warning of its own.
    warnings = [check for check in checks(document, "warning") if check != "volume"]
    assert warnings[0] == "ignored-variable"
    severities = [one["severity"] for one in document["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


@pytest.mark.parametrize(
    ("environ", "code", "check"),
    [
        ({"QDA_CATALOG": "/nowhere/catalog.yaml"}, 3, "catalog"),
        ({"HF_ENDPOINT": "no address"}, 2, "option"),
        ({"QDA_CACHE": "a\x00b"}, 2, "option"),
        ({"HF_TOKEN": "hf_a b"}, 2, "token"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, 23, "certificate"),
    ],
)
def test_what_is_wrong_in_the_environment_is_a_finding_and_not_the_end(
    tmp_path: Path, environ: dict[str, str], code: int, check: str
) -> None:
    found, document = run({"HOME": str(tmp_path), **environ})
    assert (found, checks(document, "error")) == (code, [check])
    assert document["libraries"]["qda-worker"]


def test_without_a_home_the_machine_is_examined_all_the_same() -> None:
    code, document = run({}, "--no-probe")
    assert (code, "home" in checks(document, "warning")) == (0, True)


@pytest.mark.parametrize(
    "variable",
    ["HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "TRANSFORMERS_CACHE", "SENTENCE_TRANSFORMERS_HOME"],
)
def test_a_folder_in_the_home_of_an_unknown_user_does_not_end_the_examination(
    tmp_path: Path, variable: str
) -> None:
    code, document = run({"HOME": str(tmp_path), variable: "~nosuchuser/x"}, "--no-probe")
    assert (code, document["variables"][variable]) == (0, "~nosuchuser/x")
    assert not [one for one in document["findings"] if "not examined to the end" in one["message"]]


def test_a_place_with_a_name_that_no_file_can_have_is_a_finding(tmp_path: Path) -> None:
    _, document = run({"HOME": str(tmp_path), "HF_HOME": "/a\x00b"}, "--no-probe")
    assert document["findings"]


def test_a_wrong_argument_is_still_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--format"):
        cache_warmer(["doctor", "--format", "jsn"], {}, io.StringIO(), io.StringIO())


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_secret_is_shown_wherever_it_stands(tmp_path: Path, form: str) -> None:
    hub = tmp_path / ".cache/huggingface"
    (hub / "hub/models--a--b/refs").mkdir(parents=True)
    (hub / "hub/models--a--b/refs/main").write_text("hf_of_the_environment")
    (hub / "token").write_text("hf_of_the_file")
    environ = {
        "HOME": str(tmp_path),
        "HF_TOKEN": "hf_of_the_environment",
        "HTTPS_PROXY": "http://somebody:pass-of-proxy@proxy:99999",
        "HF_HOME": str(hub),
        "HF_HUB_CACHE": str(hub / "hub"),
        "TRANSFORMERS_CACHE": f"{tmp_path}/hf_of_the_file",
        "HF_ENDPOINT": "http://me:pass-of-hub@hub.example/x y",
    }
    out, err = io.StringIO(), io.StringIO()
    cache_warmer(["doctor", "--format", form, "--no-probe"], environ, out, err)
    shown = out.getvalue() + err.getvalue()
    for secret in ("hf_of_the_environment", "hf_of_the_file", "pass-of-proxy", "pass-of-hub"):
        assert secret not in shown
    assert "TRANSFORMERS_CACHE" in shown


def test_without_a_probe_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    os.utime(folder, (1000, 1000))
    run({"HOME": str(tmp_path)}, "--cache", str(folder), "--no-probe")
    assert folder.stat().st_mtime == 1000
