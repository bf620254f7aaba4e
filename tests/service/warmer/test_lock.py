"""`cache-warmer lock` against a hub: what it writes, what it does not change, and what changed upstream."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.errors import CatalogInvalid, ModelCacheError, UsageError
from model_cache.explanations import hint_line
from tests.service.warmer.fixtures import Workspace, write_files
from tests.support.explained import explained
from tests.support.fake_hub import Fault, FaultKind, Repository


def lock(workspace: Workspace, *more: str, catalog: Path | None = None) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    arguments = workspace.arguments("lock", *more)
    if catalog is not None:
        arguments[arguments.index("--catalog") + 1] = str(catalog)
    code = cache_warmer(arguments, workspace.environ, out, io.StringIO())
    return code, explained(json.loads(out.getvalue()))


@pytest.fixture
def branches(workspace: Workspace) -> Workspace:
    """Write a catalog that has branches, comments, and no hash of the wheel."""
    first, second = workspace.repositories
    workspace.catalog.write_text(
        f"""\
# Unser Katalog (für alle)
apiVersion: qda/v1
kind: Catalog
models:
  - key: one   # Stimmung
    task: sentiment
    huggingface:
      repository: {first.id}
      revision: main    # bewegt sich
      files: [config.json, "sub/*", model.safetensors]
  - key: three
    task: entities
    spacy: {{package: de_tiny, version: 1.0.0, url: "https://wheels.invalid/{workspace.wheel.name}"}}
  - key: two
    task: embedding
    huggingface:
      revision: '{second.commit}'
      repository: {second.id}
      files:
        - config.json
        - pytorch_model.bin  # die Gewichte
""",
        "utf-8",
    )
    return workspace


def moved(workspace: Workspace, content: bytes = b"{}") -> Repository:
    """Add a newer commit of the first repository, to which its branch main moves."""
    first = workspace.repositories[0]
    files = {name: file.source for name, file in first.files.items()}
    newer = Repository(
        first.id, {**files, **write_files(workspace.folder / "newer", {"config.json": content})}
    )
    workspace.hub.add(newer)
    return newer


def test_lock_pins_branches_and_hashes_and_keeps_all_other_text(branches: Workspace) -> None:
    before = branches.catalog.read_text("utf-8")
    branches.catalog.chmod(0o640)
    with pytest.raises(CatalogInvalid) as caught:
        load_catalog(branches.catalog)
    assert f"cache-warmer lock --catalog {branches.catalog}" in caught.value.remedy

    code, document = lock(branches)

    first = branches.repositories[0]
    after = branches.catalog.read_text("utf-8")
    assert (code, document["reason"]) == (0, "OK")
    sha256 = load_catalog(branches.catalog).model("three").source.sha256  # type: ignore[union-attr]  # a wheel
    assert after.replace(first.commit, "main", 1).replace(f", sha256: {sha256}", "") == before
    assert branches.catalog.stat().st_mode & 0o777 == 0o640
    locked = load_lock(branches.catalog)
    assert locked is not None
    weights = locked.models["one"].files["model.safetensors"]
    assert (weights.bytes, weights.sha256) == (
        first.files["model.safetensors"].size,
        first.files["model.safetensors"].sha256,
    )
    assert locked.models["one"].files["config.json"].git_sha1 == first.files["config.json"].git_sha1
    assert set(locked.models["one"].files) == {"config.json", "sub/deep/vocab.txt", "model.safetensors"}
    assert locked.models["one"].resolved_from == "main"
    assert locked.models["two"].resolved_from is None
    assert locked.models["three"].files[branches.wheel.name].bytes == branches.wheel.stat().st_size


def test_the_remedy_of_a_mistyped_pin_is_not_lock(branches: Workspace) -> None:
    text = branches.catalog.read_text("utf-8").replace("revision: main", f"revision: {'A' * 40}")
    branches.catalog.write_text(text, "utf-8")

    with pytest.raises(CatalogInvalid) as caught:
        load_catalog(branches.catalog)

    assert caught.value.remedy.startswith("correct the catalog")


def test_a_warm_compares_content_with_the_lock(branches: Workspace) -> None:
    lock(branches)

    outcome = branches.warm()

    assert outcome.reason == "OK"
    assert {model["key"]: model["compared_with"] for model in outcome.document["models"]}["one"] == "lock"


def test_a_second_lock_changes_no_byte_and_writes_no_file(branches: Workspace) -> None:
    lock(branches)
    files = sorted(branches.folder.glob("catalog*"))
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in files}

    _, document = lock(branches)

    assert (document["catalog_changed"], document["lock_changed"]) == (False, False)
    assert {path: (path.read_bytes(), path.stat().st_ino) for path in files} == before


def test_a_pinned_catalog_stays_where_it_is_until_update(branches: Workspace) -> None:
    lock(branches)
    pinned = branches.catalog.read_bytes()
    newer = moved(branches)

    lock(branches)
    assert branches.catalog.read_bytes() == pinned
    _, document = lock(branches, "--update", "--model", "one")

    assert load_catalog(branches.catalog).model("one").revision == newer.commit
    assert [model["moved"] for model in document["models"]] == [True]


def test_one_model_can_be_pinned_alone(branches: Workspace) -> None:
    text = branches.catalog.read_text("utf-8")
    branches.catalog.write_text(text.replace(branches.repositories[1].commit, "v2"), "utf-8")

    code, document = lock(branches, "--model", "one")

    assert code == 0
    assert [model["key"] for model in document["models"]] == ["one"]
    assert "revision: 'v2'" in branches.catalog.read_text("utf-8")


def test_check_of_an_unchanged_upstream_is_ok(branches: Workspace) -> None:
    lock(branches)
    before = sorted((path, path.stat().st_mtime_ns) for path in branches.folder.glob("*"))

    code, document = lock(branches, "--check")

    assert (code, document["reason"]) == (0, "OK")
    assert sorted((path, path.stat().st_mtime_ns) for path in branches.folder.glob("*")) == before


def test_check_names_changed_models_and_files(branches: Workspace) -> None:
    lock(branches)
    newer = moved(branches)

    code, document = lock(branches, "--check")

    assert (code, document["reason"]) == (13, "CATALOG_DRIFTED")
    one = next(model for model in document["models"] if model["key"] == "one")
    assert (one["pinned"], one["now"]) == (branches.repositories[0].commit, newer.commit)
    assert one["files_changed"] == [{"path": "config.json", "change": "changed"}]
    assert {model["reason"] for model in document["models"] if model["key"] != "one"} == {"OK"}
    out = io.StringIO()
    cache_warmer(
        [*branches.arguments("lock", "--check"), "--format", "table"], branches.environ, out, io.StringIO()
    )
    assert out.getvalue().endswith(hint_line("CATALOG_DRIFTED"))


def test_check_of_a_pin_without_a_lock_compares_with_the_default_branch(workspace: Workspace) -> None:
    moved(workspace)

    code, document = lock(workspace, "--check", "--model", "one")

    assert code == 13
    assert document["models"][0]["reference"] == "main"
    assert document["models"][0]["locked"] is False


def test_check_continues_after_a_source_that_fails(branches: Workspace) -> None:
    lock(branches)
    moved(branches)
    branches.hub.faults.add(Fault(FaultKind.STATUS, "/wheels/*", status=404))

    code, document = lock(branches, "--check")

    reasons = {model["key"]: model["reason"] for model in document["models"]}
    assert reasons == {"one": "CATALOG_DRIFTED", "three": "HUB_NOT_FOUND", "two": "OK"}
    assert code == 21


def test_a_missing_branch_changes_nothing(branches: Workspace) -> None:
    text = branches.catalog.read_text("utf-8").replace("revision: main", "revision: mian")
    branches.catalog.write_text(text, "utf-8")

    with pytest.raises(ModelCacheError) as caught:
        lock(branches)

    assert caught.value.reason.exit_code == 21
    assert "mian" in str(caught.value)
    assert branches.catalog.read_text("utf-8") == text
    assert [path.name for path in branches.folder.iterdir()] == ["catalog.yaml"]


def test_the_built_in_catalog_is_copied_not_replaced(branches: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--output"):
        cache_warmer(["lock"], {"HF_ENDPOINT": branches.endpoint}, io.StringIO(), io.StringIO())
    copy = tmp_path / "copy.yaml"
    before = branches.catalog.read_bytes()

    lock(branches, "--output", str(copy))

    assert branches.catalog.read_bytes() == before
    assert load_catalog(copy).model("one").revision == branches.repositories[0].commit
    assert (tmp_path / "copy.lock.json").is_file()


def test_a_link_to_a_catalog_stays_a_link(branches: Workspace, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(branches.catalog)

    lock(branches, catalog=link)

    assert link.is_symlink()
    assert load_catalog(branches.catalog).models


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc/self/mountinfo").exists(), reason="needs a mount table"
)
def test_a_read_only_catalog_is_an_error_with_a_remedy(branches: Workspace) -> None:
    frozen = Path("/proc/self/catalog.yaml")  # not even root can create a file there

    with pytest.raises(ModelCacheError) as caught:
        lock(branches, "--output", str(frozen))

    assert caught.value.reason.exit_code == 31
    assert "--output FILE" in caught.value.remedy
