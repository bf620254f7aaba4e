"""What is built from: actions by commit, packages by hash, and a release that signs what it pushes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED: Final = re.compile(r"uses: (\./\S+|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)+)$")


def _workflow(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def _steps(name: str, job: str) -> list[dict[str, Any]]:
    steps = _workflow(ROOT / ".github" / "workflows" / name)["jobs"][job]["steps"]
    assert isinstance(steps, list)
    return steps


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path: Path) -> None:
    lines = [line.strip().removeprefix("- ") for line in path.read_text("utf-8").splitlines()]
    used = [line for line in lines if line.startswith("uses:")]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_only_jobs_that_push_may_write(path: Path) -> None:
    workflow = _workflow(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    writing = {
        name for name, job in workflow["jobs"].items() if "write" in (job.get("permissions") or {}).values()
    }
    assert writing == ({"images", "chart"} if path.name == "release.yaml" else set())
    for job in workflow["jobs"].values():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_images_have_provenance_and_sbom_and_images_and_chart_are_signed_by_digest() -> None:
    (build,) = [step for step in _steps("release.yaml", "images") if step.get("id") == "build"]
    assert build["with"]["sbom"] is True
    assert build["with"]["provenance"] == "mode=max"
    assert "PYTHON_IMAGE=${{ needs.version.outputs.base }}" in build["with"]["build-args"]
    assert "cache-from" not in build["with"], "a cache that other workflows write would decide what is signed"
    for job in ("images", "chart"):
        signing = [step for step in _steps("release.yaml", job) if "cosign sign" in step.get("run", "")]
        assert len(signing) == 1
        text = signing[0]["run"] + str(signing[0]["env"])
        assert "digest" in text, "a tag can be moved between push and signature"


@pytest.mark.parametrize(
    ("name", "extras"),
    [("worker", ["worker", "openvino", "prepare", "otel"]), ("warmer", ["warmer"]), ("build", ["build"])],
)
def test_the_hashed_requirements_of_an_image_are_the_pinned_ones(name: str, extras: list[str]) -> None:
    command = [sys.executable, "scripts/image-packages", *extras]
    pinned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert pinned.returncode == 0, pinned.stderr
    text = (ROOT / "constraints" / f"image-{name}.txt").read_text("utf-8")
    entries = re.findall(r"^(\S+==\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    assert sorted(_normal(entry) for entry, _ in entries) == sorted(map(_normal, pinned.stdout.split()))
    assert "torch==" not in text, "its build comes from another index"


def _normal(line: str) -> str:
    return line.lower().replace("_", "-").replace(".", "-")


def test_the_warmer_image_installs_nothing_without_a_hash() -> None:
    for path in [ROOT / "images" / "warmer" / "Dockerfile"]:
        text = re.sub(r"\\\n\s*", "", path.read_text("utf-8"))
        installs = re.findall(r"pip [^&\n]*\binstall\b[^&\n]*", text)
        assert installs
        for command in installs:
            assert "--require-hashes" in command or "dist/*.whl" in command, command
