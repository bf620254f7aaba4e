"""What writes to a cache works without the calls that Windows lacks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.service.warmer.fixtures import Workspace, build_workspace, catalog_of

ROOT: Final = Path(__file__).parents[3]
# Above which a body is fetched in ranges, with a journal and threads of its own.
SPLIT: Final = 33 << 20


def run(*commands: list[str], links: bool = True) -> list[int]:
    """Run commands in a Python without POSIX calls; return their exit codes. Without `links` it may create none."""
    more = () if links else ("no-links",)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.without_posix", json.dumps(commands), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    codes: list[int] = json.loads(ended.stdout.splitlines()[-1])
    assert not any(codes), ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return codes


def options(workspace: Workspace, cache: Path) -> list[str]:
    return ["--catalog", str(workspace.catalog), "--cache", str(cache)]


def check_and_transfer(workspace: Workspace, archive: Path, other: Path) -> list[list[str]]:
    """Return commands that read every byte of the cache, write it to an archive, and fill another cache from that."""
    return [
        ["cache-check", "--deep", *options(workspace, workspace.cache)],
        workspace.arguments("repair"),
        ["export", "-o", str(archive), *options(workspace, workspace.cache)],
        ["import", str(archive), *options(workspace, other)],
        ["cache-check", "--deep", *options(workspace, other)],
    ]


def test_plan_warm_repair_export_import_and_collect(workspace: Workspace, tmp_path: Path) -> None:
    archive, other = tmp_path / "generation.tar", tmp_path / "other"
    commands = [
        workspace.arguments("plan"),
        workspace.arguments("warm"),
        *check_and_transfer(workspace, archive, other),
        ["collect", "--apply", *options(workspace, workspace.cache)],
    ]
    assert run(*commands) == [0] * len(commands)


def test_lock_pins_a_catalog(workspace: Workspace) -> None:
    commits = {repository.commit for repository in workspace.repositories}
    text = workspace.catalog.read_text()
    for commit in commits:
        text = text.replace(commit, "main")
    workspace.catalog.write_text(text)

    assert run(workspace.arguments("lock"), workspace.arguments("warm")) == [0, 0]

    assert all(commit in workspace.catalog.read_text() for commit in commits)


def test_a_body_in_ranges_and_one_that_is_resumed(tmp_path: Path) -> None:
    for name in ("workspace", "hub"):
        (tmp_path / name).mkdir()
    big = build_workspace(tmp_path / "workspace", tmp_path / "hub", big=SPLIT)
    with big.hub:
        assert run(big.arguments("warm")) == [0]
        (blob,) = (path for path in big.cache.glob("**/blobs/*") if path.stat().st_size == SPLIT)
        content = blob.read_bytes()
        with blob.open("r+b") as file:
            file.seek(SPLIT // 2)
            file.write(b"damaged")
        assert run(big.arguments("repair")) == [0]
    assert blob.read_bytes() == content


def test_a_host_cache(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    argv = workspace.arguments("warm")
    argv[argv.index("--cache") + 1] = "host"

    assert run(argv, argv) == [0, 0]


def test_without_the_right_to_links_all_commands_work_on_copies(workspace: Workspace, tmp_path: Path) -> None:
    archive, other, adopted = tmp_path / "generation.tar", tmp_path / "other", tmp_path / "adopted"
    models = ["--model", "one", "--model", "two"]  # the package cannot be verified without its wheel
    adopt = ["--hub", workspace.endpoint, "--apply", *models]
    commands = [
        workspace.arguments("doctor")[:5],
        workspace.arguments("warm"),
        workspace.arguments("warm"),
        *check_and_transfer(workspace, archive, other),
        ["adopt", str(workspace.cache), *options(workspace, adopted), *adopt],
        ["cache-check", "--deep", *options(workspace, adopted), *models],
        ["collect", "--apply", *options(workspace, workspace.cache)],
    ]
    assert run(*commands, links=False) == [0] * len(commands)
    for cache in (workspace.cache, other, adopted):
        assert not [path for path in cache.rglob("*") if path.is_symlink()]
        assert list(cache.glob("huggingface/hub/models--org--first/snapshots/*/model.safetensors"))


def test_a_newer_package_replaces_the_copies_of_the_former_one(workspace: Workspace) -> None:
    assert run(workspace.arguments("warm"), links=False) == [0]
    catalog = yaml.safe_dump(catalog_of(workspace.repositories, workspace.newer_wheel, "1.1.0"))
    workspace.catalog.write_text(catalog, "utf-8")

    assert run(workspace.arguments("warm"), links=False) == [0]

    names = sorted(path.name for path in (workspace.cache / "spacy").glob("de_tiny*"))
    assert names == ["de_tiny", "de_tiny-1.1.0.dist-info"]
    meta = json.loads((workspace.cache / "spacy/de_tiny/meta.json").read_text("utf-8"))
    assert meta["version"] == "1.1.0"


def test_what_a_laptop_runs_is_imported() -> None:
    """The client, the check and the warmer are imported as a whole, module by module."""
    program = (
        "import importlib, pkgutil, sys\n"
        "from tests.support.without_posix import take_away\n"
        "take_away(links=True)\n"
        "import cache_warmer, model_cache, qda_worker.client\n"
        "for package in (cache_warmer, model_cache, qda_worker.client):\n"
        "    for one in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not one.name.endswith('__main__'):\n"
        "            importlib.import_module(one.name)\n"
        "print(len([name for name in sys.modules if name.startswith(('cache_warmer.', 'model_cache.'))]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 100
