"""A lock that knows every file: no list of the hub is needed, and of a complete cache no network at all."""

import io
import json
import shutil
from pathlib import Path
from typing import Final

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import Workspace
from tests.support.fake_hub import Fault, FaultKind

NO_HUB: Final = "http://127.0.0.1:9"


def write_lock(workspace: Workspace) -> None:
    out, err = io.StringIO(), io.StringIO()
    assert cache_warmer(workspace.arguments("lock"), {}, out, err) == 0, err.getvalue()
    workspace.hub.log.clear()


@pytest.fixture
def locked(workspace: Workspace) -> Workspace:
    """Lock every file of a catalog that names its files one by one."""
    document = yaml.safe_load(workspace.catalog.read_text("utf-8"))
    document["models"][0]["huggingface"]["files"] = ["config.json", "sub/deep/vocab.txt", "model.safetensors"]
    workspace.catalog.write_text(yaml.safe_dump(document), "utf-8")
    write_lock(workspace)
    return workspace


def forget_records(workspace: Workspace) -> None:
    """Leave what a hub client would have fetched: no record, no list of files."""
    shutil.rmtree(workspace.cache / ".model-cache")
    for trees in workspace.cache.rglob("trees"):
        shutil.rmtree(trees)


def is_complete(workspace: Workspace) -> bool:
    places = resolve_places(str(workspace.cache), {}, Path("/nowhere"))
    return check(load_catalog(workspace.catalog).models, places, Tier.DEEP).reason is Reason.OK


def test_a_mirror_without_lists_suffices(locked: Workspace) -> None:
    locked.hub.faults.add(Fault(FaultKind.STATUS, "*/tree/*", status=404))

    assert locked.warm().reason == "OK"

    assert locked.hub.log.requests("/api/*") == ()
    assert is_complete(locked)


def test_the_layout_is_the_one_that_the_list_would_give(locked: Workspace, tmp_path: Path) -> None:
    assert locked.warm().reason == "OK"
    (locked.folder / "catalog.lock.json").unlink()
    assert locked.warm(cache=str(tmp_path / "listed")).reason == "OK"

    def layout(cache: Path) -> dict[str, bytes]:
        hub = cache / "huggingface/hub"
        return {
            str(path.relative_to(hub)): path.read_bytes() for path in sorted(hub.rglob("*")) if path.is_file()
        }

    assert layout(locked.cache) == layout(tmp_path / "listed")


@pytest.mark.parametrize("environ", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["no network", "offline"])
def test_a_complete_cache_is_taken_over_without_a_network(locked: Workspace, environ: dict[str, str]) -> None:
    assert locked.warm("one", "two").reason == "OK"
    forget_records(locked)
    locked.hub.log.clear()
    locked.environ = environ

    outcome = locked.warm("one", "two", endpoint=NO_HUB)

    assert outcome.reason == "OK", outcome.err
    assert outcome.document["bytes_fetched"] == 0
    assert locked.hub.log.requests() == ()


def test_a_pattern_is_taken_from_the_lock_if_the_hub_is_away(workspace: Workspace) -> None:
    write_lock(workspace)
    assert workspace.warm("one", "two").reason == "OK"
    forget_records(workspace)

    assert workspace.warm("one", "two", endpoint=NO_HUB).reason == "OK"


def test_a_pattern_is_still_looked_up_where_the_hub_is_there(workspace: Workspace) -> None:
    write_lock(workspace)

    assert workspace.warm("one").reason == "OK"

    assert workspace.hub.log.requests("/api/models/org/first/tree/*")


def test_a_missing_file_still_needs_the_hub(locked: Workspace) -> None:
    assert locked.warm("one", "two").reason == "OK"
    forget_records(locked)
    next(locked.cache.glob("huggingface/hub/models--org--first/snapshots/*/config.json")).resolve().unlink()

    away = locked.warm("one", "two", endpoint=NO_HUB)
    locked.environ = {"HF_HUB_OFFLINE": "1"}
    offline = locked.warm("one", "two")
    locked.environ = {}

    assert (away.reason, offline.reason) == ("HUB_UNREACHABLE", "USAGE")
    assert "HF_HUB_OFFLINE" in offline.err
    assert locked.warm().reason == "OK"


def test_damaged_files_are_not_taken_over(locked: Workspace) -> None:
    assert locked.warm("one").reason == "OK"
    forget_records(locked)
    weights = next(locked.cache.glob("huggingface/hub/models--org--first/snapshots/*/model.safetensors"))
    weights.resolve().write_bytes(bytes(weights.stat().st_size))

    assert locked.warm("one", endpoint=NO_HUB).reason == "HUB_UNREACHABLE"
    assert locked.warm().reason == "OK"
    assert is_complete(locked)


def test_without_a_lock_the_refusal_of_such_a_mirror_names_it(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.STATUS, "*/tree/*", status=404))

    outcome = workspace.warm()

    assert outcome.reason == "HUB_NOT_FOUND"
    assert "cache-warmer lock" in outcome.err


def test_without_links_each_name_is_a_file_of_its_own(workspace: Workspace) -> None:
    workspace.environ = {"HF_HUB_DISABLE_SYMLINKS": "1"}

    assert workspace.warm().reason == "OK"

    hub = workspace.cache / "huggingface/hub"
    assert not [path for path in hub.rglob("*") if path.is_symlink()]
    assert is_complete(workspace)
    assert workspace.warm().document["bytes_fetched"] == 0
    assert json.loads(next(hub.glob("models--org--first/snapshots/*/config.json")).read_bytes()) == {"a": 1}
