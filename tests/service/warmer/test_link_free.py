"""All commands on a cache without symbolic links, as `HF_HUB_DISABLE_SYMLINKS` asks for it and Windows has it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from tests.service.warmer.archives import export, import_
from tests.service.warmer.fixtures import Workspace
from tests.support.fake_hub import Repository
from tests.support.tiny_models import write_classifier

LABELS: Final = ("positive", "negative", "neutral")


@pytest.fixture
def link_free(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace whose catalog has one more model, which can be loaded, and whose runs make no links."""
    folder = tmp_path / "hub" / "tiny"
    folder.mkdir()
    write_classifier(folder, LABELS)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    repository = Repository("qda-test/tiny", files)
    workspace.hub.add(repository)
    catalog = yaml.safe_load(workspace.catalog.read_text("utf-8"))
    source = {"repository": repository.id, "revision": repository.commit, "files": sorted(files)}
    catalog["models"].append({"key": "tiny", "task": "sentiment", "huggingface": source})
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    workspace.environ = {"HF_HUB_DISABLE_SYMLINKS": "1"}
    return workspace


def cache_check(workspace: Workspace, cache: Path, *more: str) -> tuple[int, dict[str, Any]]:
    command = [
        sys.executable, "-m", "model_cache.check.cli", "--catalog", str(workspace.catalog), "--cache", str(cache),
        "--format", "json", *more,
    ]  # fmt: skip
    environ = {**os.environ, **workspace.environ}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def links_of_the_hub(cache: Path) -> list[Path]:
    return [path for path in (cache / "huggingface").rglob("*") if path.is_symlink()]


def snapshot(cache: Path, repository: str) -> Path:
    (folder,) = (cache / "huggingface/hub" / f"models--{repository.replace('/', '--')}/snapshots").iterdir()
    return folder


def test_warm_check_load_repair_collect_export_and_import(link_free: Workspace, tmp_path: Path) -> None:
    cache, other = link_free.cache, link_free.folder / "other"
    assert link_free.warm().reason == "OK"
    assert links_of_the_hub(cache) == []

    code, document = cache_check(link_free, cache, "--load", "--model", "tiny")
    assert (code, document["reason"], document["tier"]) == (0, "OK", "load")

    weights = snapshot(cache, "qda-test/tiny") / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert cache_check(link_free, cache)[0] == 0, "the fast check compares sizes alone"
    assert cache_check(link_free, cache, "--deep")[1]["reason"] == "CACHE_CORRUPT"
    repaired = link_free.repair()
    assert (repaired.reason, repaired.document["bytes_fetched"]) == ("OK", len(content))
    assert weights.read_bytes() == content

    export(link_free, tmp_path / "all.tar")
    link_free.hub.log.clear()
    assert import_(link_free, tmp_path / "all.tar", other).reason == "OK"
    assert link_free.hub.log.requests() == ()
    assert links_of_the_hub(other) == []
    assert cache_check(link_free, other, "--deep")[0] == 0
    assert import_(link_free, tmp_path / "all.tar", other).document["bytes_written"] == 0

    catalog = yaml.safe_load(link_free.catalog.read_text("utf-8"))
    catalog["models"] = [model for model in catalog["models"] if model["key"] != "tiny"]
    link_free.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    assert link_free.warm().document["bytes_fetched"] == 0
    collect = [
        "collect",
        "--catalog",
        str(link_free.catalog),
        "--cache",
        str(cache),
        "--apply",
        "--keep",
        "0",
    ]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        assert cache_warmer(collect, link_free.environ, nowhere, nowhere) == 0
    assert not list((cache / "huggingface/hub").glob("models--qda-test--tiny/snapshots/*/model.safetensors"))
    assert cache_check(link_free, cache, "--deep")[0] == 0
    assert links_of_the_hub(cache) == []
