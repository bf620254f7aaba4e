"""The content of the cache after a warm, and what the next warm restores."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
import yaml
from huggingface_hub import snapshot_download

from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import BIG, Workspace, catalog_of, write_files
from tests.support.fake_hub import Repository


def deep_reason(workspace: Workspace) -> Reason:
    models = load_catalog(workspace.catalog).models
    return check(models, resolve_places(str(workspace.cache), {}, Path("/nowhere")), Tier.DEEP).reason


def blob_of(workspace: Workspace, name: str) -> Path:
    return next(workspace.cache.glob(f"huggingface/hub/models--org--*/snapshots/*/{name}")).resolve()


def test_a_warmed_cache_is_complete_and_has_no_other_files(workspace: Workspace) -> None:
    outcome = workspace.warm()

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert deep_reason(workspace) is Reason.OK
    names = {
        path.name for path in workspace.cache.glob("huggingface/hub/*/snapshots/*/**/*") if path.is_file()
    }
    assert names == {"config.json", "vocab.txt", "model.safetensors", "copy.json", "pytorch_model.bin"}
    assert not workspace.hub.log.requests("*onnx*")
    assert not list(workspace.cache.rglob("*.incomplete"))


def test_a_second_run_makes_no_request_and_changes_nothing(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    before = {path: path.lstat().st_mtime_ns for path in workspace.cache.rglob("*")}

    outcome = workspace.warm()

    assert outcome.reason == "OK"
    assert outcome.document["bytes_fetched"] == 0
    assert workspace.hub.log.requests() == ()
    assert {path: path.lstat().st_mtime_ns for path in workspace.cache.rglob("*")} == before


def test_only_a_deleted_model_is_fetched_again(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    shutil.rmtree(workspace.cache / "huggingface/hub/models--org--second")

    outcome = workspace.warm()

    assert outcome.reason == "OK"
    assert deep_reason(workspace) is Reason.OK
    assert not workspace.hub.log.requests("*org/first*")
    assert not workspace.hub.log.requests("/wheels/*")
    fetched = {model["key"]: model["bytes_fetched"] for model in outcome.document["models"]}
    assert fetched["one"] == fetched["three"] == 0 < fetched["two"]


def test_only_a_deleted_package_is_fetched_again(workspace: Workspace) -> None:
    workspace.warm()
    workspace.hub.log.clear()
    shutil.rmtree(workspace.cache / "spacy/.packages")

    assert workspace.warm().reason == "OK"

    assert deep_reason(workspace) is Reason.OK
    assert {request.path for request in workspace.hub.log.requests()} == {f"/wheels/{workspace.wheel.name}"}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_truncated_file_is_fetched_into_a_new_inode(workspace: Workspace, name: str) -> None:
    workspace.warm()
    blob = blob_of(workspace, name)
    with blob.open("rb") as mapped:
        blob.write_bytes(blob.read_bytes()[:-1])
        cut = mapped.fileno(), blob.stat().st_ino
        assert workspace.warm().reason == "OK"
        assert blob.stat().st_ino != cut[1]
        assert len(mapped.read()) == blob.stat().st_size - 1, "the old file is as its readers mapped it"
    assert deep_reason(workspace) is Reason.OK


def test_a_truncated_file_of_a_package_is_replaced_alone(workspace: Workspace) -> None:
    workspace.warm()
    (tree,) = (workspace.cache / "spacy/.packages").glob("de_tiny-*")
    damaged = tree / "de_tiny/de_tiny-1.0.0/config.cfg"
    damaged.write_bytes(b"")

    assert workspace.warm().reason == "OK"

    assert damaged.read_bytes() == b"[nlp]\n"
    assert deep_reason(workspace) is Reason.OK


def test_a_link_out_of_the_cache_is_replaced_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    workspace.warm()
    blob = blob_of(workspace, "config.json")
    outside = tmp_path / "passwd"
    outside.write_bytes(b"x" * blob.stat().st_size)
    blob.unlink()
    blob.symlink_to(outside)

    assert workspace.warm().reason == "OK"

    assert not blob.is_symlink()
    assert set(outside.read_bytes()) == {ord("x")}


def test_files_of_the_hub_client_are_used(workspace: Workspace) -> None:
    first = workspace.repositories[0]
    hub_cache = workspace.cache / "huggingface/hub"
    snapshot_download(first.id, revision=first.commit, cache_dir=hub_cache, endpoint=workspace.endpoint)
    workspace.hub.log.clear()

    outcome = workspace.warm()

    assert outcome.reason == "OK"
    assert not workspace.hub.log.requests("/org/first/resolve/*")
    assert workspace.hub.log.requests("/org/second/resolve/*")


def test_existing_files_with_wrong_content_are_fetched(workspace: Workspace) -> None:
    first = workspace.repositories[0]
    hub_cache = workspace.cache / "huggingface/hub"
    snapshot_download(first.id, revision=first.commit, cache_dir=hub_cache, endpoint=workspace.endpoint)
    blob = blob_of(workspace, "model.safetensors")
    blob.chmod(0o644)
    blob.write_bytes(bytes(BIG))

    assert workspace.warm().reason == "OK"

    assert deep_reason(workspace) is Reason.OK


def test_the_manifest_appears_when_the_last_model_is_recorded(workspace: Workspace) -> None:
    manifests = workspace.cache / ".model-cache/manifests"

    assert workspace.warm("two").reason == "OK"
    assert not list(manifests.glob("*"))
    assert len(list((workspace.cache / ".model-cache/models").glob("*"))) == 1
    assert workspace.warm("one").reason == "OK"
    assert not list(manifests.glob("*"))
    assert workspace.warm("three").reason == "OK"
    assert len(list(manifests.glob("*"))) == 1


def test_a_new_generation_leaves_the_former_one_complete(workspace: Workspace) -> None:
    workspace.warm()
    former = load_catalog(workspace.catalog).models
    second = workspace.repositories[1]
    files = {"config.json": b'{"b": 3}', "copy.json": b"{}"}
    weights = second.files["pytorch_model.bin"].source
    newer = Repository(
        second.id, {**write_files(workspace.folder / "newer", files), "pytorch_model.bin": weights}
    )
    workspace.hub.add(newer)
    catalog = catalog_of([workspace.repositories[0], newer], workspace.newer_wheel, "1.1.0")
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    workspace.hub.log.clear()

    assert workspace.warm().reason == "OK"

    assert not workspace.hub.log.requests("*pytorch_model.bin"), "the same blob serves both commits"
    places = resolve_places(str(workspace.cache), {}, Path("/nowhere"))
    assert check(former, places, Tier.DEEP).reason is Reason.OK
    assert deep_reason(workspace) is Reason.OK
    spacy = workspace.cache / "spacy"
    assert {path.name for path in spacy.glob("*.dist-info")} == {"de_tiny-1.1.0.dist-info"}
    assert (spacy / "de_tiny/de_tiny-1.1.0/config.cfg").is_file()


def test_a_rollback_restores_refs_and_links_without_a_request(workspace: Workspace) -> None:
    before = workspace.catalog.read_text("utf-8")
    workspace.warm()
    workspace.catalog.write_text(
        yaml.safe_dump(catalog_of(workspace.repositories, workspace.newer_wheel, "1.1.0")), "utf-8"
    )
    workspace.warm()
    workspace.catalog.write_text(before, "utf-8")
    reference = workspace.cache / "huggingface/hub/models--org--first/refs/main"
    reference.write_text("0" * 40 + "\n")
    workspace.hub.log.clear()

    assert workspace.warm().reason == "OK"

    assert workspace.hub.log.requests() == ()
    assert reference.read_text() == workspace.repositories[0].commit
    assert (workspace.cache / "spacy/de_tiny/de_tiny-1.0.0/config.cfg").is_file()
    assert [path.name for path in (workspace.cache / "spacy").glob("*.dist-info")] == [
        "de_tiny-1.0.0.dist-info"
    ]


def test_other_users_can_read_the_cache_with_any_umask(workspace: Workspace) -> None:
    former = os.umask(0o077)
    try:
        assert workspace.warm().reason == "OK"
    finally:
        os.umask(former)
    for path in [workspace.cache, *workspace.cache.rglob("*")]:
        if not path.is_symlink():
            expected = 0o755 if path.is_dir() else 0o644
            assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_the_lock_is_compared_before_a_byte_is_fetched(workspace: Workspace) -> None:
    first = workspace.repositories[0]
    locked = {"bytes": BIG, "sha256": "0" * 64, "git_sha1": None}
    lock = {
        "apiVersion": "qda/v1",
        "kind": "CatalogLock",
        "models": {
            "one": {
                "source": first.id,
                "revision": first.commit,
                "whole_repository_bytes": None,
                "files": {"model.safetensors": locked},
            }
        },
    }
    workspace.catalog.with_suffix(".lock.json").write_text(json.dumps(lock), "utf-8")

    outcome = workspace.warm()

    assert outcome.code == 26
    assert "0" * 64 in outcome.err
    assert first.files["model.safetensors"].sha256 in outcome.err
    assert not workspace.hub.log.requests("*/resolve/*")


def test_a_plan_counts_what_a_warm_then_fetches(workspace: Workspace) -> None:
    plan = workspace.plan()

    assert plan.code == 0
    assert not workspace.cache.exists()
    assert plan.document["bytes_present"] == 0
    assert plan.document["bytes_of_whole_repositories"] > plan.document["bytes_to_fetch"]
    assert workspace.warm().document["bytes_fetched"] == plan.document["bytes_to_fetch"]
    workspace.hub.log.clear()
    after = workspace.plan()
    assert after.document["bytes_to_fetch"] == 0
    assert after.document["bytes_of_whole_repositories"] == plan.document["bytes_of_whole_repositories"]
    assert all(file["present"] for model in after.document["models"] for file in model["files"])
    assert workspace.hub.log.requests() == ()


def test_the_termination_message_is_the_report(workspace: Workspace) -> None:
    (workspace.folder / "termination-log").write_bytes(b"")

    outcome = workspace.warm()

    assert json.loads((workspace.folder / "termination-log").read_bytes()) == outcome.document


def test_on_a_host_foreign_refs_stay_and_no_list_is_written(workspace: Workspace) -> None:
    hub_cache = workspace.folder / "host-hub"
    reference = hub_cache / "models--org--first/refs/main"
    reference.parent.mkdir(parents=True)
    reference.write_text("f" * 40)
    workspace.environ |= {"HF_HUB_CACHE": str(hub_cache), "SPACY_DATA": str(workspace.folder / "host-spacy")}

    assert workspace.warm(cache="host").reason == "OK"

    assert reference.read_text() == "f" * 40
    assert (hub_cache / "models--org--second/refs/main").read_text() == workspace.repositories[1].commit
    assert not list(hub_cache.glob("*/trees/*"))
    assert (workspace.folder / "host-spacy/de_tiny/__init__.py").is_file()
