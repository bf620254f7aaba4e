"""Export of a generation as an OCI image: layers, reproducibility, failures, and a registry."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.catalog.parse import load_catalog
from model_cache.errors import ModelCacheError, UsageError
from model_cache.reasons import Reason
from tests.service.warmer.archives import cache_of, export, import_
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.images import (
    IMAGE,
    blob,
    deep_reason,
    document,
    layers_of,
    manifests_of,
    tree,
    unpack,
)


@pytest.fixture
def warmed(workspace: Workspace) -> Workspace:
    """Return the workspace after a warm."""
    assert workspace.warm().reason == "OK"
    return workspace


def test_the_unpacked_image_is_the_cache_that_an_import_makes(warmed: Workspace, tmp_path: Path) -> None:
    export(warmed, tmp_path / "image", *IMAGE)
    export(warmed, tmp_path / "generation.tar")
    imported = cache_of(warmed, "imported")
    assert import_(warmed, tmp_path / "generation.tar", imported).code == 0

    unpacked = unpack(tmp_path / "image", tmp_path / "unpacked")

    assert deep_reason(warmed, unpacked) is Reason.OK
    others = {
        name: what
        for name, what in tree(imported).items()
        if "status" not in name and not name.endswith("/lock")
    }
    assert tree(unpacked) == others


def test_every_blob_is_named_by_its_hash_and_both_architectures_have_the_same_layers(
    warmed: Workspace, tmp_path: Path
) -> None:
    report = export(warmed, tmp_path / "image", *IMAGE)

    blobs = list((tmp_path / "image" / "blobs" / "sha256").iterdir())
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in blobs)
    first, second = manifests_of(tmp_path / "image")
    assert first["layers"] == second["layers"]
    configs = [document(tmp_path / "image", one["config"]["digest"]) for one in (first, second)]
    assert [one["architecture"] for one in configs] == ["amd64", "arm64"]
    assert configs[0]["rootfs"]["diff_ids"] == [layer["digest"] for layer in first["layers"]]
    assert first["annotations"]["qda-worker/generation"] == report["generation"]
    assert report["layers"] == len(first["layers"]) == len(report["models"]) + 1
    assert report["image_bytes"] == sum(layer["size"] for layer in first["layers"])
    assert blob(tmp_path / "image", report["digest"]).is_file()


def test_two_exports_are_the_same_bytes_as_folder_and_as_archive(warmed: Workspace, tmp_path: Path) -> None:
    other = cache_of(warmed, "other")
    export(warmed, tmp_path / "generation.tar")
    import_(warmed, tmp_path / "generation.tar", other)

    export(warmed, tmp_path / "one", *IMAGE)
    export(warmed, tmp_path / "two", *IMAGE, cache=other)
    export(warmed, tmp_path / "one.tar", *IMAGE)
    export(warmed, tmp_path / "two.tar", *IMAGE, cache=other)

    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert tree(tmp_path / "unpacked") == tree(tmp_path / "one")


def test_generations_share_the_layers_of_the_models_that_they_share(
    warmed: Workspace, tmp_path: Path
) -> None:
    export(warmed, tmp_path / "all", *IMAGE)
    key = load_catalog(warmed.catalog).models[0].key
    export(warmed, tmp_path / "one", *IMAGE, "--model", key)

    shared = set(layers_of(tmp_path / "all")) & set(layers_of(tmp_path / "one"))
    assert len(layers_of(tmp_path / "one")) == 2
    assert len(shared) == 1, "the layer of the model, not the records"


def test_members_have_no_time_and_no_owner_and_links_stay_links(warmed: Workspace, tmp_path: Path) -> None:
    export(warmed, tmp_path / "image", *IMAGE)
    members = []
    for digest in layers_of(tmp_path / "image"):
        with tarfile.open(blob(tmp_path / "image", digest)) as layer:
            names = layer.getnames()
            assert names == sorted(names)
            members += layer.getmembers()
    assert {(one.mtime, one.uid, one.gid) for one in members} == {(0, 0, 0)}
    assert any(one.issym() and "/snapshots/" in one.name for one in members)
    assert {one.mode for one in members if one.isdir()} == {0o755}


@pytest.mark.parametrize("name", ["image", "image.tar"])
def test_a_wrong_file_leaves_no_image(warmed: Workspace, tmp_path: Path, name: str) -> None:
    big = max(warmed.cache.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(big.read_bytes())
    content[-1] ^= 1
    big.resolve().write_bytes(content)
    (tmp_path / "out").mkdir()

    with pytest.raises(ModelCacheError) as failed:
        export(warmed, tmp_path / "out" / name, *IMAGE)

    assert failed.value.reason is Reason.CACHE_CORRUPT
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_an_image_needs_a_file_or_a_new_folder(warmed: Workspace, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "notes.txt").write_text("mine", "utf-8")
    for output in ("-", "/dev/full", str(tmp_path / "image"), str(warmed.catalog)):
        with pytest.raises(UsageError, match="-o"):
            export(warmed, Path(output), *IMAGE)
    assert (tmp_path / "image" / "notes.txt").read_text("utf-8") == "mine"


def test_the_line_of_the_report_names_the_digest(warmed: Workspace, tmp_path: Path) -> None:
    out = io.StringIO()
    arguments = ["export", "--catalog", str(warmed.catalog), "--cache", str(warmed.cache), "--quiet"]
    code = cache_warmer(
        [*arguments, *IMAGE, "-o", str(tmp_path / "image")], warmed.environ, out, io.StringIO()
    )
    [descriptor] = json.loads((tmp_path / "image" / "index.json").read_bytes())["manifests"]
    assert code == 0
    assert out.getvalue().splitlines()[1].startswith(f"image {descriptor['digest']}, ")


def test_a_wrong_format_is_refused_with_all_that_there_are(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="oci-imge") as failed:
        export(workspace, tmp_path / "image", "--format", "oci-imge")
    assert failed.value.remedy == "give one of table, json, oci-image"
