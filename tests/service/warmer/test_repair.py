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
from tests.service.warmer.fixtures import BIG, World

WEIGHTS: Final = "model.safetensors"


def snapshot(world: World) -> Path:
    (folder,) = (world.cache / "huggingface/hub/models--org--first/snapshots").iterdir()
    return folder


def blob(world: World, name: str = WEIGHTS) -> Path:
    return (snapshot(world) / name).resolve()


def vectors(world: World) -> Path:
    (tree,) = (world.cache / "spacy/.packages").glob("de_tiny-*")
    return tree / "de_tiny/de_tiny-1.0.0/vocab/vectors"


def flip(path: Path) -> None:
    """Change one byte in place, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def is_complete(world: World) -> bool:
    places = resolve_places(str(world.cache), {}, world.folder)
    return check(load_catalog(world.catalog).models, places, Tier.DEEP).reason is Reason.OK


def inodes(world: World) -> dict[str, int]:
    return {
        str(path.relative_to(world.cache)): path.lstat().st_ino
        for path in world.cache.rglob("*")
        if path.is_file() and path.name not in {"lock", "status.json"}
    }


def test_a_flipped_byte_is_one_file_fetched_into_a_new_inode(world: World) -> None:
    world.warm()
    world.hub.log.clear()
    before = inodes(world)
    flip(blob(world))

    assert world.warm().document["bytes_fetched"] == 0, "warm compares sizes only"
    outcome = world.repair()

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert outcome.document["bytes_fetched"] == BIG
    (mended,) = outcome.document["mended"]
    assert (mended["file"], mended["reason"]) == (str(snapshot(world) / WEIGHTS), "CACHE_CORRUPT")
    after = inodes(world)
    changed = {path for path in after if after[path] != before.get(path)}
    assert {Path(path).name for path in changed} == {blob(world).name}
    assert is_complete(world)


def test_a_flipped_byte_of_a_package_replaces_that_file_alone(world: World) -> None:
    world.warm()
    world.hub.log.clear()
    before = inodes(world)
    with vectors(world).open("rb") as reader:
        flip(vectors(world))
        damaged = vectors(world).read_bytes()

        assert world.repair().reason == "OK"

        assert reader.read() == damaged, "a process that has the old file open keeps its content"
    after = inodes(world)
    assert {Path(path).name for path in after if after[path] != before.get(path)} == {"vectors"}
    assert {request.path for request in world.hub.log.requests()} == {f"/wheels/{world.wheel.name}"}
    assert is_complete(world)


def test_a_complete_cache_needs_no_request_and_no_lease(world: World) -> None:
    world.warm()
    world.hub.log.clear()
    before = inodes(world)

    outcome = world.repair(endpoint="http://127.0.0.1:9")

    assert (outcome.reason, outcome.document["mended"], outcome.document["bytes_fetched"]) == ("OK", [], 0)
    assert not world.hub.log.requests()
    assert inodes(world) == before


def cut(world: World) -> None:
    os.truncate(blob(world), 100)


def link_out(world: World) -> None:
    target = blob(world)
    target.unlink()
    target.symlink_to("/etc/passwd")


def dangle(world: World) -> None:
    blob(world).unlink()


def link_to_nowhere(world: World) -> None:
    link = snapshot(world) / "config.json"
    link.unlink()
    link.symlink_to("../../blobs/nothing")


def folder_as_blob(world: World) -> None:
    target = blob(world)
    target.unlink()
    (target / "inside").mkdir(parents=True)


def folder_as_link(world: World) -> None:
    link = snapshot(world) / "config.json"
    link.unlink()
    (link / "inside").mkdir(parents=True)


def file_as_folder(world: World) -> None:
    shutil.rmtree(snapshot(world) / "sub")
    (snapshot(world) / "sub").write_bytes(b"")


def folder_in_a_package(world: World) -> None:
    vectors(world).unlink()
    vectors(world).mkdir()


def file_as_folder_of_a_package(world: World) -> None:
    shutil.rmtree(vectors(world).parent)
    vectors(world).parent.write_bytes(b"")


def package_as_link_out(world: World) -> None:
    (tree,) = (world.cache / "spacy/.packages").glob("de_tiny-*")
    tree.rename(world.folder / "elsewhere")
    tree.symlink_to(world.folder / "elsewhere")


def manifest_in_half(world: World) -> None:
    (manifest,) = (world.cache / ".model-cache/manifests").iterdir()
    os.truncate(manifest, manifest.stat().st_size // 2)


def records_in_half(world: World) -> None:
    for path in (world.cache / ".model-cache/models").iterdir():
        os.truncate(path, path.stat().st_size // 2)
    manifest_in_half(world)


def reference_with_a_newline(world: World) -> None:
    reference = snapshot(world).parents[1] / "refs/main"
    reference.write_bytes(reference.read_bytes() + b"\n")


DAMAGES: Final = [
    cut, link_out, dangle, link_to_nowhere, folder_as_blob, folder_as_link, file_as_folder, folder_in_a_package,
    file_as_folder_of_a_package, package_as_link_out, manifest_in_half, records_in_half, reference_with_a_newline,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_each_kind_of_damage_is_repaired(world: World, damage: Callable[[World], None]) -> None:
    world.warm()
    reference = (snapshot(world).parents[1] / "refs/main").read_bytes()
    passwd = Path("/etc/passwd").stat()
    damage(world)

    outcome = world.repair()

    assert outcome.reason == "OK", outcome.document
    assert is_complete(world)
    assert (snapshot(world).parents[1] / "refs/main").read_bytes() == reference
    assert Path("/etc/passwd").stat().st_mtime_ns == passwd.st_mtime_ns


def test_truncated_records_are_rebuilt_without_fetching(world: World) -> None:
    world.warm()
    world.hub.log.clear()
    records_in_half(world)

    assert world.repair("one", "two").reason == "OK"

    assert not world.hub.log.bytes_sent(f"*{WEIGHTS}"), "valid files are hashed, not fetched"


def test_repair_of_one_model_does_not_change_the_others(world: World) -> None:
    world.warm()
    flip(blob(world))
    flip(vectors(world))
    damaged = vectors(world).read_bytes()

    assert world.repair("one").reason == "OK"

    assert vectors(world).read_bytes() == damaged
    assert [model["key"] for model in world.repair("one").document["models"]] == ["one"]


def test_without_a_hub_a_repair_fails_and_changes_nothing(world: World) -> None:
    world.warm()
    flip(blob(world))
    before = inodes(world)

    outcome = world.repair(endpoint="http://127.0.0.1:9")

    assert outcome.reason == "HUB_UNREACHABLE"
    assert "mended" not in outcome.document
    assert inodes(world) == before


def test_the_report_lists_the_repaired_files(world: World) -> None:
    world.warm()
    flip(blob(world))
    command = [sys.executable, "-m", "cache_warmer", *world.arguments("repair", "--format", "table")]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    mended, verdict = ended.stdout.splitlines()[-2:]
    assert mended.startswith(f"mended: {snapshot(world) / WEIGHTS}: it has the sha256 ")
    assert verdict.startswith("OK: generation ")
    assert json.loads(subprocess.run(
        [*command[:-1], "json"], capture_output=True, text=True, check=True
    ).stdout)["mended"] == []  # fmt: skip
