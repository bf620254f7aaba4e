"""Export and import: the same generation in another cache, without a request to a hub."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.errors import ModelCacheError
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.archives import cache_of, everything_below, export, import_
from tests.service.warmer.fixtures import Workspace, catalog_of

SOURCE: Final = str(Path(__file__).parents[3] / "src")
READ: Final = """
import sys
from huggingface_hub import snapshot_download
for revision in ("main", sys.argv[1]):
    path = snapshot_download("org/first", revision=revision)
    assert path.endswith(sys.argv[1]), path
    assert open(path + "/config.json").read() == '{"a": 1}'
sys.path.insert(0, sys.argv[2])
from importlib.metadata import distribution
assert distribution("de_tiny").version == "1.0.0"
"""


def reason_of(workspace: Workspace, cache: Path, tier: Tier = Tier.DEEP) -> Reason:
    models = load_catalog(workspace.catalog).models
    return check(models, resolve_places(str(cache), {}, Path("/nowhere")), tier).reason


@pytest.fixture
def archive(workspace: Workspace, tmp_path: Path) -> Path:
    """Return the archive of the warmed generation."""
    assert workspace.warm().reason == "OK"
    export(workspace, tmp_path / "generation.tar")
    return tmp_path / "generation.tar"


def test_an_import_makes_the_same_cache_without_a_request(workspace: Workspace, archive: Path) -> None:
    workspace.hub.log.clear()
    other = cache_of(workspace, "other")

    outcome = import_(workspace, archive, other)

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert workspace.hub.log.requests() == ()
    assert reason_of(workspace, other) is Reason.OK
    names = {str(path.relative_to(other)): path.is_symlink() for path in other.rglob("*")}
    was = {str(path.relative_to(workspace.cache)): path.is_symlink() for path in workspace.cache.rglob("*")}
    bookkeeping = (".model-cache/whole-bytes", ".model-cache/references", "status")
    assert {name: link for name, link in was.items() if not any(part in name for part in bookkeeping)} == {
        name: link for name, link in names.items() if "status" not in name
    }
    for name in ("huggingface", "spacy"):
        before, after = everything_below(workspace.cache / name), everything_below(other / name)
        assert {path: body for path, (_, body) in before.items()} == {
            path: body for path, (_, body) in after.items()
        }


def test_a_warm_after_an_import_has_nothing_to_do(workspace: Workspace, archive: Path) -> None:
    other = cache_of(workspace, "other")
    import_(workspace, archive, other)
    workspace.hub.log.clear()

    outcome = workspace.warm(cache=str(other))

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert workspace.hub.log.requests() == ()


def test_the_hub_client_and_importlib_read_it_offline(workspace: Workspace, archive: Path) -> None:
    other = cache_of(workspace, "other")
    import_(workspace, archive, other)
    environ = {
        **os.environ,
        "HF_HUB_CACHE": str(other / "huggingface/hub"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, workspace.repositories[0].commit, str(other / "spacy")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr


def test_archives_of_one_generation_have_the_same_bytes(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    other = cache_of(workspace, "other")
    import_(workspace, archive, other)

    export(workspace, tmp_path / "again.tar")
    export(workspace, tmp_path / "other.tar", cache=other)

    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()
    assert (tmp_path / "other.tar").read_bytes() == archive.read_bytes()


def test_stdout_is_only_the_archive_even_with_format_json(workspace: Workspace, archive: Path) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": SOURCE,
        "QDA_FORMAT": "json",
        "QDA_CATALOG": str(workspace.catalog),
    }
    other = cache_of(workspace, "other")
    program = [sys.executable, "-m", "cache_warmer"]

    written = subprocess.run(
        [*program, "export", "-o", "-", "--cache", str(workspace.cache)],
        env=environ, capture_output=True, check=True,
    )  # fmt: skip
    read = subprocess.run(
        [*program, "import", "-", "--cache", str(other)],
        env=environ, input=written.stdout, capture_output=True, check=False,
    )  # fmt: skip

    assert written.stdout == archive.read_bytes()
    assert json.loads(written.stderr[written.stderr.index(b"{\n") :])["reason"] == "OK"
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["bytes_written"] > 0


def test_the_output_of_a_failed_export_is_refused_by_import(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    blob = next(workspace.cache.glob("huggingface/hub/*/snapshots/*/pytorch_model.bin")).resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(bytes(content))
    environ = {
        **os.environ,
        "PYTHONPATH": SOURCE,
        "QDA_FORMAT": "json",
        "QDA_CATALOG": str(workspace.catalog),
    }

    ended = subprocess.run(
        [sys.executable, "-m", "cache_warmer", "export", "-o", "-", "--cache", str(workspace.cache)],
        env=environ, capture_output=True, check=False,
    )  # fmt: skip
    (tmp_path / "bad.tar").write_bytes(ended.stdout)

    assert ended.returncode == 11
    assert b"CACHE_CORRUPT" in ended.stderr
    assert b"CACHE_CORRUPT" not in ended.stdout
    assert (
        subprocess.run(["tar", "-tf", tmp_path / "bad.tar"], capture_output=True, check=False).returncode != 0
    )
    with pytest.raises(ModelCacheError, match="too early"):
        import_(workspace, tmp_path / "bad.tar", cache_of(workspace, "other"))


def test_an_incomplete_cache_is_not_exported(workspace: Workspace, tmp_path: Path) -> None:
    workspace.warm("one")

    with pytest.raises(ModelCacheError) as caught:
        export(workspace, tmp_path / "generation.tar")

    assert caught.value.reason is Reason.CACHE_INCOMPLETE
    assert not list(tmp_path.glob("*.tar*"))


def test_one_model_can_be_exported_alone(workspace: Workspace, tmp_path: Path) -> None:
    workspace.warm("two")
    other = cache_of(workspace, "other")

    export(workspace, tmp_path / "two.tar", "--model", "two")
    outcome = import_(workspace, tmp_path / "two.tar", other)

    assert [model["key"] for model in outcome.document["models"]] == ["two"]
    assert "not the generation of the catalog" in outcome.err
    models = load_catalog(workspace.catalog).select(["two"])
    places = resolve_places(str(other), {}, Path("/nowhere"))
    assert check(models, places, Tier.DEEP, whole_catalog=False).reason is Reason.OK


def test_an_import_writes_only_missing_and_damaged_files(workspace: Workspace, archive: Path) -> None:
    other = cache_of(workspace, "other")
    import_(workspace, archive, other)
    (other / ".model-cache/status.json").unlink()  # each run writes it
    before = everything_below(other)
    wrong = next(other.glob("huggingface/hub/*/snapshots/*/model.safetensors")).resolve()
    size, inode = wrong.stat().st_size, wrong.stat().st_ino
    wrong.write_bytes(bytes(size))
    (other / "spacy/de_tiny/meta.json").unlink()

    outcome = import_(workspace, archive, other)

    assert (outcome.reason, outcome.document["files_written"]) == ("OK", 2)
    (other / ".model-cache/status.json").unlink()
    after = everything_below(other)
    assert {name: body for name, (_, body) in after.items()} == {
        name: body for name, (_, body) in before.items()
    }
    assert wrong.stat().st_ino != inode
    moved = {name for name in before if before[name][0] != after[name][0]}
    assert all("model.safetensors" in name or wrong.name in name or "meta.json" in name for name in moved)


def test_a_newer_generation_leaves_the_former_one_complete(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    other = cache_of(workspace, "other")
    import_(workspace, archive, other)
    former = load_catalog(workspace.catalog).models
    newer = catalog_of(workspace.repositories, workspace.newer_wheel, "1.1.0")
    workspace.catalog.write_text(yaml.safe_dump(newer), "utf-8")
    workspace.warm()
    export(workspace, tmp_path / "newer.tar")

    assert import_(workspace, tmp_path / "newer.tar", other, "--reference", "team").reason == "OK"

    places = resolve_places(str(other), {}, Path("/nowhere"))
    assert check(former, places, Tier.DEEP).reason is Reason.OK
    assert reason_of(workspace, other) is Reason.OK
    assert [path.name for path in (other / "spacy").glob("*.dist-info")] == ["de_tiny-1.1.0.dist-info"]
    assert "team" in next((other / ".model-cache/references").glob("*.json")).read_text("utf-8")


def test_an_import_on_a_host_leaves_foreign_refs_alone(workspace: Workspace, archive: Path) -> None:
    hub = workspace.folder / "host-hub"
    reference = hub / "models--org--first/refs/main"
    reference.parent.mkdir(parents=True)
    reference.write_text("f" * 40)
    workspace.environ |= {"HF_HUB_CACHE": str(hub), "SPACY_DATA": str(workspace.folder / "host-spacy")}

    assert import_(workspace, archive, "host").reason == "OK"

    assert reference.read_text() == "f" * 40
    assert not list(hub.glob("*/trees"))
    assert (workspace.folder / "host-spacy/de_tiny/__init__.py").is_file()


def test_usage_errors_come_before_anything_is_written(workspace: Workspace, tmp_path: Path) -> None:
    other = cache_of(workspace, "other")
    for arguments, message in (
        (["import", "--cache", str(other)], "no archive given"),
        (["import", str(tmp_path / "none.tar"), "--cache", str(other)], "no file"),
        (["import", "x", "--model", "one", "--cache", str(other)], "imported whole"),
        (["export", "--cache", str(other)], "no output given"),
        (["export", "-o", str(tmp_path), "--cache", str(other)], "is a folder"),
    ):
        with pytest.raises(ModelCacheError, match=message) as caught:
            cache_warmer(arguments, {})
        assert caught.value.reason is Reason.USAGE
    assert not other.exists()
