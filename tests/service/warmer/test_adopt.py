"""`cache-warmer adopt`: models of other caches are verified and used, and nothing of those caches changes."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from cache_warmer.artifacts.wheel import read_content, wheel_contents_sha256
from cache_warmer.cli import cache_warmer
from model_cache.errors import ModelCacheError
from tests.service.warmer.archives import export
from tests.service.warmer.fixtures import Outcome, Workspace
from tests.support.explained import explained

SOURCE: Final = str(Path(__file__).parents[3] / "src")
FIRST: Final = ("config.json", "sub/deep/vocab.txt", "model.safetensors")
SECOND: Final = ("config.json", "copy.json", "pytorch_model.bin")


def adopt(workspace: Workspace, folder: Path, *more: str) -> Outcome:
    """Run `adopt` in this process."""
    out, err = io.StringIO(), io.StringIO()
    arguments = workspace.arguments("adopt", str(folder), "--quiet", "--wait", "0", *more)
    try:
        code = cache_warmer(arguments, workspace.environ, out, err)
    except ModelCacheError as error:
        return Outcome(error.reason.exit_code, {"reason": error.reason}, str(error))
    return Outcome(code, explained(json.loads(out.getvalue())), err.getvalue())


def files_of(workspace: Workspace, number: int) -> dict[str, bytes]:
    """Return the files that the catalog selects of one of the two repositories."""
    folder = workspace.folder.parent / "hub" / ("first", "second")[number]
    return {name: (folder / name).read_bytes() for name in (FIRST, SECOND)[number]}


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def hub_cache(workspace: Workspace, folder: Path) -> None:
    """Write a hub cache with absolute links, as a library of 2021 did."""
    for number, repository in enumerate(workspace.repositories):
        root = folder / f"models--{repository.id.replace('/', '--')}"
        for name, content in files_of(workspace, number).items():
            blob = root / "blobs" / hashlib.sha256(content).hexdigest()
            write_all(blob.parent, {blob.name: content})
            link = root / "snapshots" / repository.commit / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)


def local_dirs(workspace: Workspace, folder: Path) -> None:
    for number, repository in enumerate(workspace.repositories):
        root = folder / f"Model-{number}"
        files = files_of(workspace, number)
        notes = {
            f".cache/huggingface/download/{name}.metadata": f"{repository.commit}\netag\n1700000000.0\n".encode()
            for name in files
        }
        write_all(root, files | notes)


def sentence_transformers(workspace: Workspace, folder: Path) -> None:
    for number, repository in enumerate(workspace.repositories):
        write_all(
            folder / repository.id.replace("/", "_"), {**files_of(workspace, number), "modules.json": b"[]"}
        )


def old_transformers(workspace: Workspace, folder: Path) -> None:
    """Write the flat cache of transformers before 4.22: names are hashes of URL and ETag."""
    for number, repository in enumerate(workspace.repositories):
        for name, content in files_of(workspace, number).items():
            url, etag = (
                f"https://huggingface.co/{repository.id}/resolve/main/{name}",
                f'"{hashlib.sha256(content).hexdigest()}"',
            )
            stem = f"{hashlib.sha256(url.encode()).hexdigest()}.{hashlib.sha256(etag.encode()).hexdigest()}"
            note = json.dumps({"url": url, "etag": etag}).encode()
            write_all(folder, {stem: content, f"{stem}.json": note, f"{stem}.lock": b""})


def packed(workspace: Workspace, folder: Path) -> None:
    """Write a compressed tar archive of a hub cache, links included."""
    hub_cache(workspace, folder / "hub")
    with tarfile.open(folder / "cache.tar.gz", "w:gz") as archive:
        archive.add(folder / "hub", "their/cache")
    subprocess.run(["rm", "-r", str(folder / "hub")], check=True)


LAYOUTS: Final[dict[str, Callable[[Workspace, Path], None]]] = {
    "hub_cache": hub_cache,
    "local_dir": local_dirs,
    "sentence_transformers_before_2_3": sentence_transformers,
    "transformers_before_4_22": old_transformers,
    "tar": packed,
}


def digests(folder: Path) -> dict[str, str]:
    """Return what is below a folder: the hash of each file, and the target of each link, with modes and times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        content = (
            os.readlink(path)
            if path.is_symlink()
            else path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest()
        )
        found[str(path.relative_to(folder))] = f"{content} {state.st_mode} {state.st_mtime_ns} {state.st_uid}"
    return found


def links_into(cache: Path, folder: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_symlink() and path.resolve().is_relative_to(folder)]


def pip_install(folder: Path, wheel: Path) -> None:
    """Unpack a wheel as pip does, with its record of the wheel's hash."""
    with zipfile.ZipFile(wheel) as archive:
        write_all(folder, {name: archive.read(name) for name in archive.namelist()})
    note = {"archive_info": {"hashes": {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}}}
    write_all(folder, {"de_tiny-1.0.0.dist-info/direct_url.json": json.dumps(note).encode()})


def test_the_program_adopts_a_hub_cache_and_a_warm_fetches_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    theirs = tmp_path / "project/models"
    hub_cache(workspace, theirs)
    pip_install(theirs / "site-packages", workspace.wheel)
    before = digests(theirs)
    program = [sys.executable, "-m", "cache_warmer", *workspace.arguments("adopt", str(theirs), "--quiet")]
    environ = {**os.environ, "PYTHONPATH": SOURCE}

    plan = adopt(workspace, theirs).document
    assert not workspace.cache.exists(), "without --apply nothing is written"
    applied = subprocess.run([*program, "--apply"], env=environ, capture_output=True, text=True, check=True)

    done = json.loads(applied.stdout)
    assert (plan["applied"], done["applied"], done["published"]) == (False, True, True)
    adopted = sum(map(len, files_of(workspace, 0).values())) + 8 + 70_000  # two names of one content
    assert plan["bytes"]["link"] == done["bytes"]["link"] > adopted
    assert [model["reason"] for model in done["models"]] == ["OK"] * 3
    blob = workspace.cache / "huggingface/hub/models--org--first/blobs"
    assert all(path.stat().st_nlink == 2 for path in blob.iterdir()), "hard links take no space"
    assert digests(theirs) == before
    assert links_into(workspace.cache, theirs) == []
    sent = workspace.hub.log.bytes_sent()
    warm = workspace.warm()
    assert (warm.reason, warm.document["bytes_fetched"]) == ("OK", 0)
    assert workspace.hub.log.bytes_sent() == sent
    assert workspace.repair().document["bytes_fetched"] == 0, "every hash is right"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_named_and_used_where_the_hashes_fit(
    workspace: Workspace, tmp_path: Path, layout: str
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    LAYOUTS[layout](workspace, theirs)
    before = digests(theirs)

    done = adopt(workspace, theirs, "--apply", "--model", "one", "--model", "two")

    assert done.code == 0, done.err
    assert {found["layout"] for found in done.document["found"]} == {layout}
    assert done.document["bytes_missing"] == 0
    assert digests(theirs) == before
    assert workspace.warm("one", "two").document["bytes_fetched"] == 0


def test_an_export_and_a_wheel_are_used(workspace: Workspace, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    assert workspace.warm().reason == "OK"
    export(workspace, theirs / "generation.tar")
    write_all(theirs, {workspace.wheel.name: workspace.wheel.read_bytes()})
    subprocess.run(["rm", "-r", str(workspace.cache)], check=True)

    done = adopt(workspace, theirs, "--apply")

    assert done.document["published"], done.err
    assert set(done.document["bytes"]) == {"copy", "unpack"}
    assert [found["layout"] for found in done.document["found"]] == ["wheel", "export"]


def test_wrong_halves_and_other_cases_are_told_and_the_rest_is_used(
    workspace: Workspace, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs/ORG_First"
    files = files_of(workspace, 0)
    write_all(
        theirs,
        {
            "Config.JSON": files["config.json"],
            "sub/deep/vocab.txt": b"Ein\nzwei\n",
            "model.safetensors": files["model.safetensors"][:-5],
            "modules.json": b"[]",
        },
    )

    done = adopt(workspace, theirs.parent, "--apply", "--model", "one")

    assert (done.code, done.reason) == (26, "CONTENT_MISMATCH")
    (model,) = done.document["models"]
    assert [file["name"] for file in model["adopted"]] == ["config.json"]
    details = {file["name"]: file["detail"] for file in model["missing"]}
    assert "2999995 bytes instead of 3000000" in details["model.safetensors"]
    assert "another file: git sha1" in details["sub/deep/vocab.txt"]
    assert "CONTENT_MISMATCH: one: " in done.err
    assert not list(workspace.cache.glob(".model-cache/m*/*")), "neither a record nor a manifest"
    sent = workspace.warm("one").document["bytes_fetched"]
    assert sent == sum(map(len, files.values())) - len(files["config.json"])


def test_a_folder_of_another_program(workspace: Workspace, tmp_path: Path) -> None:
    write_all(tmp_path / "other", {"notes.txt": b"8 bytes!", "data/table.csv": b"a,b\n"})

    done = adopt(workspace, tmp_path / "other", "--apply")

    assert (done.code, done.document["found"]) == (10, [])
    assert "no model in a layout that is known" in done.err
    assert adopt(workspace, tmp_path / "nowhere").code == 2
    write_all(tmp_path, {"broken.tar.gz": b"\x1f\x8b no archive"})
    broken = adopt(workspace, tmp_path / "broken.tar.gz")
    assert (broken.code, "it is no tar archive, or was cut short" in broken.err) == (26, True)
    newer = adopt(workspace, workspace.newer_wheel, "--model", "three")
    assert (newer.code, "is another wheel than the catalog pins" in newer.err) == (26, True)
    own = adopt(workspace, workspace.cache / ".model-cache")
    assert (own.code, "is in the cache that is to be filled" in own.err) == (2, True)


def test_a_package_is_verified_by_the_lock_or_not_used(workspace: Workspace, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip_install(site, workspace.wheel)
    (site / "de_tiny-1.0.0.dist-info/direct_url.json").unlink()  # as if installed from an index

    without = adopt(workspace, site, "--model", "three")
    assert (without.code, without.reason) == (26, "CONTENT_MISMATCH")
    assert "pip did not record" in without.err

    content = wheel_contents_sha256(read_content(workspace.wheel, "de_tiny"))
    file = {"bytes": None, "sha256": None, "git_sha1": None, "contents_sha256": content}
    write_lock(workspace, {"source": "de_tiny", "revision": "1.0.0", "files": {workspace.wheel.name: file}})

    done = adopt(workspace, site, "--model", "three", "--apply")
    (model,) = done.document["models"]
    assert (done.reason, model["adopted"][0]["verified"]) == ("OK", "RECORD")
    assert workspace.warm("three").document["bytes_fetched"] == 0
    (site / "de_tiny/de_tiny-1.0.0/vocab/vectors").unlink()
    broken = adopt(workspace, site, "--model", "three", "--cache", str(tmp_path / "other"))
    assert (broken.code, "cannot be proven" in broken.err) == (26, True)


def write_lock(workspace: Workspace, three: dict[str, Any]) -> None:
    document = {"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"three": three}}
    workspace.catalog.with_name("catalog.lock.json").write_text(json.dumps(document))


def test_without_a_network_the_lock_decides(workspace: Workspace, tmp_path: Path) -> None:
    hub_cache(workspace, tmp_path / "theirs")
    lock = ["lock", "--catalog", str(workspace.catalog), "--hub", workspace.endpoint]
    cache_warmer([*lock, "--wheel-base", f"{workspace.hub.url}/wheels"], {}, io.StringIO(), io.StringIO())
    document = json.loads(workspace.catalog.with_name("catalog.lock.json").read_bytes())
    catalog = workspace.catalog.read_text().replace("sub/*", "sub/deep/vocab.txt")
    workspace.catalog.write_text(catalog)
    del document["models"]["two"]
    workspace.catalog.with_name("catalog.lock.json").write_text(json.dumps(document))
    workspace.environ["HF_HUB_OFFLINE"] = "1"

    done = adopt(workspace, tmp_path / "theirs", "--apply")

    one, two, _ = done.document["models"]
    assert (one["compared_with"], len(one["adopted"]), one["missing"]) == ("lock", 3, [])
    assert (two["adopted"], two["reason"]) == ([], "HUB_UNREACHABLE")
    assert done.code == 22
    assert list(workspace.cache.glob("huggingface/hub/models--org--first/blobs/*"))
    assert not list(workspace.cache.glob("huggingface/hub/models--org--second/blobs/*"))


def test_a_second_run_adopts_nothing_and_another_writer_is_waited_for(
    workspace: Workspace, tmp_path: Path
) -> None:
    hub_cache(workspace, tmp_path / "theirs")
    pip_install(tmp_path / "theirs/site", workspace.wheel)
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "cache_warmer", *workspace.arguments("adopt", str(tmp_path / "theirs"), "--apply")],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip

    results: list[dict[str, Any]] = [json.loads(one.communicate(timeout=60)[0]) for one in commands]

    assert [one.returncode for one in commands] == [0, 0]
    assert all(one["published"] for one in results)
    linked = sorted(one["bytes"].get("link", 0) for one in results)
    assert linked[0] == 0 < linked[1], "one of them adopted everything"
