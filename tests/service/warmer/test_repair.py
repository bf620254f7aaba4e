"""`repair` on caches that were damaged on disk: bad files, and only these, are fetched into new files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import BIG, Workspace

WEIGHTS: Final = "model.safetensors"


def snapshot(workspace: Workspace) -> Path:
    (folder,) = (workspace.cache / "huggingface/hub/models--org--first/snapshots").iterdir()
    return folder


def blob(workspace: Workspace, name: str = WEIGHTS) -> Path:
    return (snapshot(workspace) / name).resolve()


def vectors(workspace: Workspace) -> Path:
    (tree,) = (workspace.cache / "spacy/.packages").glob("de_tiny-*")
    return tree / "de_tiny/de_tiny-1.0.0/vocab/vectors"


def flip(path: Path) -> None:
    """Change one byte in place, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def is_complete(workspace: Workspace) -> bool:
    places = resolve_places(str(workspace.cache), {}, workspace.folder)
    return check(load_catalog(workspace.catalog).models, places, Tier.DEEP).reason is Reason.OK


def inodes(workspace: Workspace, *, deep_checks: bool = False) -> dict[str, int]:
    """Return the inodes of all files but those that tell how a run went; with those of deep checks if wanted."""
    return {
        str(path.relative_to(workspace.cache)): path.lstat().st_ino
        for path in workspace.cache.rglob("*")
        if path.is_file()
        and path.name not in {"lock", "status.json"}
        and (deep_checks or path.parent.name != "deep-checks")
    }


def test_a_flipped_byte_is_one_file_fetched_into_a_new_inode(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    before = inodes(workspace)
    flip(blob(workspace))

    assert workspace.warm().document["bytes_fetched"] == 0, "warm compares sizes only"
    outcome = workspace.repair()

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert outcome.document["bytes_fetched"] == BIG
    (mended,) = outcome.document["mended"]
    assert (mended["file"], mended["reason"]) == (str(snapshot(workspace) / WEIGHTS), "CACHE_CORRUPT")
    after = inodes(workspace)
    changed = {path for path in after if after[path] != before.get(path)}
    assert {Path(path).name for path in changed} == {blob(workspace).name}
    assert is_complete(workspace)


def test_a_flipped_byte_of_a_package_replaces_that_file_alone(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    before = inodes(workspace)
    with vectors(workspace).open("rb") as reader:
        flip(vectors(workspace))
        damaged = vectors(workspace).read_bytes()

        assert workspace.repair().reason == "OK"

        assert reader.read() == damaged, "a process that has the old file open keeps its content"
    after = inodes(workspace)
    assert {Path(path).name for path in after if after[path] != before.get(path)} == {"vectors"}
    assert {request.path for request in workspace.hub.log.requests()} == {f"/wheels/{workspace.wheel.name}"}
    assert is_complete(workspace)


def test_a_complete_cache_needs_no_request_and_no_lease(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    before = inodes(workspace)

    outcome = workspace.repair(endpoint="http://127.0.0.1:9")

    assert (outcome.reason, outcome.document["mended"], outcome.document["bytes_fetched"]) == ("OK", [], 0)
    assert not workspace.hub.log.requests()
    assert inodes(workspace) == before


def cut(workspace: Workspace) -> None:
    os.truncate(blob(workspace), 100)


def link_out(workspace: Workspace) -> None:
    target = blob(workspace)
    target.unlink()
    target.symlink_to("/etc/passwd")


def dangle(workspace: Workspace) -> None:
    blob(workspace).unlink()


def link_to_nowhere(workspace: Workspace) -> None:
    link = snapshot(workspace) / "config.json"
    link.unlink()
    link.symlink_to("../../blobs/nothing")


def folder_as_blob(workspace: Workspace) -> None:
    target = blob(workspace)
    target.unlink()
    (target / "inside").mkdir(parents=True)


def folder_as_link(workspace: Workspace) -> None:
    link = snapshot(workspace) / "config.json"
    link.unlink()
    (link / "inside").mkdir(parents=True)


def file_as_folder(workspace: Workspace) -> None:
    shutil.rmtree(snapshot(workspace) / "sub")
    (snapshot(workspace) / "sub").write_bytes(b"")


def folder_in_a_package(workspace: Workspace) -> None:
    vectors(workspace).unlink()
    vectors(workspace).mkdir()


def file_as_folder_of_a_package(workspace: Workspace) -> None:
    shutil.rmtree(vectors(workspace).parent)
    vectors(workspace).parent.write_bytes(b"")


def package_as_link_out(workspace: Workspace) -> None:
    (tree,) = (workspace.cache / "spacy/.packages").glob("de_tiny-*")
    tree.rename(workspace.folder / "elsewhere")
    tree.symlink_to(workspace.folder / "elsewhere")


def manifest_in_half(workspace: Workspace) -> None:
    (manifest,) = (workspace.cache / ".model-cache/manifests").iterdir()
    os.truncate(manifest, manifest.stat().st_size // 2)


def records_in_half(workspace: Workspace) -> None:
    for path in (workspace.cache / ".model-cache/models").iterdir():
        os.truncate(path, path.stat().st_size // 2)
    manifest_in_half(workspace)


def reference_with_a_newline(workspace: Workspace) -> None:
    reference = snapshot(workspace).parents[1] / "refs/main"
    reference.write_bytes(reference.read_bytes() + b"\n")


DAMAGES: Final = [
    cut, link_out, dangle, link_to_nowhere, folder_as_blob, folder_as_link, file_as_folder, folder_in_a_package,
    file_as_folder_of_a_package, package_as_link_out, manifest_in_half, records_in_half, reference_with_a_newline,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_each_kind_of_damage_is_repaired(workspace: Workspace, damage: Callable[[Workspace], None]) -> None:
    workspace.warm()
    reference = (snapshot(workspace).parents[1] / "refs/main").read_bytes()
    passwd = Path("/etc/passwd").stat()
    damage(workspace)

    outcome = workspace.repair()

    assert outcome.reason == "OK", outcome.document
    assert is_complete(workspace)
    assert (snapshot(workspace).parents[1] / "refs/main").read_bytes() == reference
    assert Path("/etc/passwd").stat().st_mtime_ns == passwd.st_mtime_ns


def test_truncated_records_are_rebuilt_without_fetching(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    records_in_half(workspace)

    assert workspace.repair("one", "two").reason == "OK"

    assert not workspace.hub.log.bytes_sent(f"*{WEIGHTS}"), "valid files are hashed, not fetched"


def test_repair_of_one_model_does_not_change_the_others(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))
    flip(vectors(workspace))
    damaged = vectors(workspace).read_bytes()

    assert workspace.repair("one").reason == "OK"

    assert vectors(workspace).read_bytes() == damaged
    assert [model["key"] for model in workspace.repair("one").document["models"]] == ["one"]


def test_without_a_hub_a_repair_fails_and_changes_nothing(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))
    before = inodes(workspace)

    outcome = workspace.repair(endpoint="http://127.0.0.1:9")

    assert outcome.reason == "HUB_UNREACHABLE"
    assert "mended" not in outcome.document
    assert inodes(workspace) == before


def test_the_report_lists_the_repaired_files(workspace: Workspace) -> None:
    workspace.warm()
    flip(blob(workspace))
    command = [sys.executable, "-m", "cache_warmer", *workspace.arguments("repair", "--format", "table")]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    mended, verdict = ended.stdout.splitlines()[-2:]
    assert mended.startswith(f"mended: {snapshot(workspace) / WEIGHTS}: it has the sha256 ")
    assert verdict.startswith("OK: generation ")
    assert json.loads(subprocess.run(
        [*command[:-1], "json"], capture_output=True, text=True, check=True
    ).stdout)["mended"] == []  # fmt: skip
