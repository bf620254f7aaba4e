"""Manifests, records and archives with the right label and other files: found, refused, and written anew."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.check.cli import cache_check
from model_cache.errors import ModelCacheError
from model_cache.manifest import (
    FileRecord,
    Manifest,
    ModelRecord,
    dump_manifest,
    dump_model_record,
    parse_manifest,
)
from model_cache.reasons import Reason
from tests.service.warmer.archives import Members, cache_of, change_members, export, import_
from tests.service.warmer.fixtures import Workspace

DESCRIPTION, MANIFEST = 0, 1


def check(workspace: Workspace, *more: str) -> int:
    arguments = ["--catalog", str(workspace.catalog), "--cache", str(workspace.cache), *more]
    return cache_check(arguments, {}, io.StringIO(), io.StringIO())


def lock(workspace: Workspace) -> dict[str, object]:
    """Write the lock beside the catalog and return it."""
    arguments = [
        "lock", "--catalog", str(workspace.catalog),
        "--hub", workspace.endpoint, "--wheel-base", f"{workspace.hub.url}/wheels",
    ]  # fmt: skip
    assert cache_warmer(arguments, workspace.environ, io.StringIO(), io.StringIO()) == 0
    return dict(json.loads(workspace.catalog.with_name("catalog.lock.json").read_bytes()))


def rewrite(workspace: Workspace, change: Callable[[dict[str, ModelRecord]], dict[str, ModelRecord]]) -> None:
    """Change the models of the manifest and of the records alike."""
    (path,) = (workspace.cache / ".model-cache/manifests").glob("*.json")
    manifest = parse_manifest(path.read_bytes())
    models = change({record.key: record for record in manifest.models})
    path.write_bytes(dump_manifest(Manifest(manifest.generation, tuple(models.values()))))
    for record in models.values():
        (workspace.cache / f".model-cache/models/{record.digest}.json").write_bytes(dump_model_record(record))


def files_of_two(models: dict[str, ModelRecord]) -> dict[str, ModelRecord]:
    return {**models, "one": models["one"]._replace(files=models["two"].files)}


def without_weights(models: dict[str, ModelRecord]) -> dict[str, ModelRecord]:
    files = tuple(file for file in models["one"].files if not file.path.endswith("model.safetensors"))
    return {**models, "one": models["one"]._replace(files=files)}


def package_without_its_metadata(models: dict[str, ModelRecord]) -> dict[str, ModelRecord]:
    files = tuple(file for file in models["three"].files if ".dist-info" not in file.path)
    return {**models, "three": models["three"]._replace(files=files)}


@pytest.mark.parametrize("change", [files_of_two, without_weights, package_without_its_metadata])
@pytest.mark.parametrize("command", ["repair", "warm"])
def test_a_manifest_that_does_not_fit_is_corrupt_and_written_anew(
    workspace: Workspace, change: Callable[[dict[str, ModelRecord]], dict[str, ModelRecord]], command: str
) -> None:
    workspace.warm()
    rewrite(workspace, change)
    for path in workspace.cache.glob("huggingface/hub/models--org--first/snapshots/*/*.safetensors"):
        path.unlink()

    assert check(workspace) == 11
    assert check(workspace, "--deep") == 11
    assert check(workspace, "--model", "one", "--model", "three") in (10, 11)
    assert workspace.plan().code == 0
    assert (workspace.repair() if command == "repair" else workspace.warm()).reason == "OK"
    assert check(workspace, "--deep") == 0


def without(name: str) -> Callable[[Members], Members]:
    """Return a change that leaves a file out of an archive and of its documents."""

    def change(members: Members) -> Members:
        document = json.loads(members[MANIFEST][1])
        for model in document["models"]:
            model["files"] = [file for file in model["files"] if not file["path"].endswith(name)]
        manifest = (members[MANIFEST][0], json.dumps(document).encode())
        rest = [member for member in members[2:] if not member[0].name.endswith(name)]
        return [members[DESCRIPTION], manifest, *rest]

    return change


def with_other_bytes(name: str, git_blob: bool = False) -> Callable[[Members], Members]:
    """Return a change that gives a file of an archive other bytes, with documents that agree."""

    def change(members: Members) -> Members:
        number = next(number for number, member in enumerate(members) if member[0].name.endswith(name))
        info, old = members[number]
        body = bytes([old[0] ^ 1]) + old[1:]
        sha256 = hashlib.sha256(body).hexdigest()
        members[number] = (info, body)
        document = json.loads(members[MANIFEST][1])
        description = json.loads(members[DESCRIPTION][1])
        for model in document["models"]:
            for file in model["files"]:
                if info.name.endswith(file["path"]):
                    file["sha256"] = sha256
                    git = hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
                    if file["path"] in description["blobs"]:
                        description["blobs"][file["path"]] = git if git_blob else sha256
        members[MANIFEST] = (members[MANIFEST][0], json.dumps(document).encode())
        members[DESCRIPTION] = (members[DESCRIPTION][0], json.dumps(description).encode())
        return members

    return change


def with_foreign_metadata(members: Members) -> Members:
    """Return members whose package tree has the metadata of another package, too."""
    number = next(number for number, member in enumerate(members) if "dist-info/METADATA" in member[0].name)
    info, body = members[number]
    name = info.name.replace("de_tiny-1.0.0.dist-info", "aaa-1.dist-info")
    extra = type(info)(name)
    document = json.loads(members[MANIFEST][1])
    for model in document["models"]:
        for place, file in [
            (at, one) for at, one in enumerate(model["files"]) if info.name.endswith(one["path"])
        ]:
            model["files"].insert(place, {**file, "path": name.removeprefix("spacy/")})
            break
    members[MANIFEST] = (members[MANIFEST][0], json.dumps(document).encode())
    return [*members[:number], (extra, body), *members[number:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("/model.safetensors"), 'lists no file for "model.safetensors"'),
        (without("/vocab.txt"), 'lists no file for "sub/*"'),
        (without("/RECORD"), "dist-info with its RECORD"),
        (without("/config.cfg"), "does not list"),
        (with_foreign_metadata, "no file of three"),
        (with_other_bytes("/model.safetensors"), "where the lock has"),
        (
            with_other_bytes("/config.json"),
            "where the lock has",
        ),
        (with_other_bytes("/vocab.txt", git_blob=True), "where the lock has"),
    ],
)
def test_an_archive_that_fits_neither_catalog_nor_lock_is_refused(
    workspace: Workspace, tmp_path: Path, change: Callable[[Members], Members], message: str
) -> None:
    lock(workspace)
    workspace.warm()
    export(workspace, tmp_path / "a.tar")
    other = cache_of(workspace, "other")

    with pytest.raises(ModelCacheError) as caught:
        import_(workspace, change_members(tmp_path / "a.tar", change), other)

    assert caught.value.reason is Reason.CONTENT_MISMATCH
    assert message in str(caught.value)
    assert not list(other.glob(".model-cache/m*/*"))


def test_an_import_without_a_lock_says_what_it_compared_with(workspace: Workspace, tmp_path: Path) -> None:
    workspace.warm()
    export(workspace, tmp_path / "a.tar")

    outcome = import_(workspace, tmp_path / "a.tar", cache_of(workspace, "other"))

    assert {model["compared_with"] for model in outcome.document["models"]} == {"archive"}
    assert "no lock has a hash of every file of one, " in outcome.err


def test_an_import_with_a_lock_compares_with_it(workspace: Workspace, tmp_path: Path) -> None:
    lock(workspace)
    workspace.warm()
    export(workspace, tmp_path / "a.tar")

    outcome = import_(workspace, tmp_path / "a.tar", cache_of(workspace, "other"))

    compared = {model["key"]: model["compared_with"] for model in outcome.document["models"]}
    assert (compared["one"], compared["two"]) == ("lock", "lock")


def test_a_cache_that_an_old_import_filled_with_other_bytes_is_corrupt(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.warm()
    export(workspace, tmp_path / "a.tar")
    archive = change_members(tmp_path / "a.tar", with_other_bytes("/model.safetensors"))
    (workspace.cache).rename(workspace.folder / "good")
    assert import_(workspace, archive, workspace.cache).code == 0
    lock(workspace)

    assert check(workspace) == 11
    assert workspace.repair().reason == "OK"
    assert check(workspace, "--deep") == 0


def with_another_size(file: FileRecord) -> FileRecord:
    return file._replace(bytes=file.bytes + 1)


def with_another_hash(file: FileRecord) -> FileRecord:
    return file._replace(sha256="0" * 64)


@pytest.mark.parametrize("change", [with_another_size, with_another_hash])
@pytest.mark.parametrize("command", ["warm", "repair", "warm of another model"])
def test_a_record_that_contradicts_the_checked_manifest_never_replaces_it(
    workspace: Workspace, change: Callable[[FileRecord], FileRecord], command: str
) -> None:
    keys_of = {"warm": (), "warm of another model": ("two",)}
    assert workspace.warm().code == 0
    (manifest,) = (workspace.cache / ".model-cache/manifests").glob("*.json")
    published = manifest.read_bytes()
    [record] = [one for one in parse_manifest(published).models if one.key == "one"]
    path = workspace.cache / f".model-cache/models/{record.digest}.json"
    own = path.read_bytes()
    path.write_bytes(dump_model_record(record._replace(files=(change(record.files[0]), *record.files[1:]))))
    assert check(workspace) == 0

    outcome = workspace.repair() if command == "repair" else workspace.warm(*keys_of[command])
    assert outcome.code == 0

    assert manifest.read_bytes() == published
    assert check(workspace, "--deep") == 0
    assert workspace.warm().code == 0
    assert path.read_bytes() == own
