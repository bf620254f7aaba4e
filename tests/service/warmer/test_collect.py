"""`cache-warmer collect` on warmed caches: its lists, what it deletes, and which Deployments it looks up."""

import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from cache_warmer.commands.collect import run_collect
from cache_warmer.commands.command import Invocation
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.errors import UsageError
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.archives import everything_below
from tests.service.warmer.fixtures import Workspace, catalog_of, write_files
from tests.support.fake_hub import Repository


def collect(workspace: Workspace, *more: str) -> dict[str, Any]:
    out = io.StringIO()
    arguments = [*workspace.collect_arguments(), "--quiet"]
    assert cache_warmer([*arguments, *more], workspace.environ, out, io.StringIO()) == 0
    return dict(json.loads(out.getvalue()))


@pytest.fixture
def upgraded(workspace: Workspace) -> Workspace:
    """Add a second generation: another commit of the second repository, another version of the package."""
    workspace.warm()
    second = workspace.repositories[1]
    files = {"config.json": b'{"b": 3}', "copy.json": b"{}"}
    weights = second.files["pytorch_model.bin"].source
    newer = Repository(
        second.id, {**write_files(workspace.folder / "newer", files), "pytorch_model.bin": weights}
    )
    workspace.hub.add(newer)
    catalog = catalog_of([workspace.repositories[0], newer], workspace.newer_wheel, "1.1.0")
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    assert workspace.warm().reason == "OK"
    return workspace


def is_whole(workspace: Workspace) -> bool:
    places = resolve_places(str(workspace.cache), {}, Path("/nowhere"))
    return check(load_catalog(workspace.catalog).models, places, Tier.DEEP).reason is Reason.OK


def test_nothing_is_deleted_without_apply(upgraded: Workspace) -> None:
    before = everything_below(upgraded.cache)

    report = collect(upgraded, "--keep", "0")

    assert report["applied"] is False
    assert report["bytes"] > 0
    assert everything_below(upgraded.cache) == before


def test_the_last_generation_stays_for_a_rollback(upgraded: Workspace) -> None:
    report = collect(upgraded, "--apply")

    assert [(one["kept"], one["why"]) for one in report["generations"]] == [
        (True, ["the current catalog", str(upgraded.catalog)]),
        (True, ["one of the newest"]),
    ]
    assert report["going"] == []


def test_unreferenced_files_are_deleted_and_shared_ones_stay(upgraded: Workspace) -> None:
    weights = next(upgraded.cache.glob("huggingface/hub/*second/snapshots/*/pytorch_model.bin")).resolve()
    inode = weights.stat().st_ino

    report = collect(upgraded, "--keep", "0", "--apply")

    assert report["applied"] is True
    assert is_whole(upgraded)
    assert weights.stat().st_ino == inode, "the blob that both generations share"
    assert len(list(upgraded.cache.glob("huggingface/hub/*second/snapshots/*"))) == 1
    assert [path.name[:13] for path in upgraded.cache.glob("spacy/.packages/de*")] == ["de_tiny-1.1.0"]
    assert len(list((upgraded.cache / ".model-cache/manifests").iterdir())) == 1
    assert collect(upgraded, "--keep", "0")["going"] == []
    upgraded.hub.log.clear()
    assert upgraded.warm().document["bytes_fetched"] == 0
    assert upgraded.hub.log.requests() == ()


def test_another_catalogs_generation_stays_until_it_is_forgotten(upgraded: Workspace) -> None:
    other = upgraded.folder / "other.yaml"
    other.write_text(yaml.safe_dump(catalog_of(upgraded.repositories, upgraded.wheel)), "utf-8")
    mine = upgraded.catalog.read_text("utf-8")
    upgraded.catalog.rename(upgraded.folder / "mine.yaml")
    other.rename(upgraded.catalog)
    assert upgraded.warm(reference="team").reason == "OK"
    upgraded.catalog.write_text(mine, "utf-8")
    assert upgraded.warm().reason == "OK"

    assert collect(upgraded, "--keep", "0", "--apply")["going"] == []
    with pytest.raises(UsageError, match="team"):
        collect(upgraded, "--forget", "taem")
    report = collect(upgraded, "--keep", "0", "--forget", "team")
    assert (report["forgotten"], report["applied"]) == (["team"], False)
    assert report["bytes"] > 0
    assert collect(upgraded, "--keep", "0", "--apply")["applied"] is True
    assert is_whole(upgraded)


@pytest.mark.parametrize(
    ("answer", "stays"),
    [(lambda _: True, True), (lambda _: False, False), (lambda _: 1 / 0, True)],
    ids=["exists", "is deleted", "is not known"],
)
def test_a_reference_is_live_while_its_deployment_exists(
    upgraded: Workspace, answer: Callable[[str], bool], stays: bool
) -> None:
    reference = next((upgraded.cache / ".model-cache/references").glob("*.json"))
    document = json.loads(reference.read_bytes())
    former = json.loads(collect_generations(upgraded)[1])
    reference.with_name("ns_old.json").write_text(
        json.dumps(
            {
                **document,
                **former,
                "name": "ns/old",
                "namespace": "ns",
                "deployment": "old",
                "cluster": "Namespace:here",
            }
        )
    )

    def exists(namespace: str, name: str) -> bool:
        return answer(f"{namespace}/{name}")

    table = collect_with(upgraded, exists, "table")
    assert ("delete: the reference ns/old: its Deployment is gone" in table) is not stays
    report = json.loads(collect_with(upgraded, exists, "json", "--apply"))

    assert [one["live"] for one in report["references"] if one["name"] == "ns/old"] == [stays]
    assert (report["going"] == []) is stays
    assert is_whole(upgraded)
    assert reference.with_name("ns_old.json").exists() is stays


def collect_generations(workspace: Workspace) -> list[str]:
    """Return what a reference holds of each generation, newest first."""
    found = []
    for path in sorted(
        (workspace.cache / ".model-cache/manifests").iterdir(), key=lambda path: -path.stat().st_mtime
    ):
        manifest = json.loads(path.read_bytes())
        models = {model["key"]: model["digest"] for model in manifest["models"]}
        found.append(json.dumps({"generation": manifest["generation"], "models": models}))
    return found


def collect_with(workspace: Workspace, exists: Callable[[str, str], bool], form: str, *more: str) -> str:
    from cache_warmer.cli import _parser

    arguments = workspace.collect_arguments(form)
    parsed = _parser().parse_args([*arguments, "--keep", "0", *more])
    out = io.StringIO()
    invocation = Invocation(parsed, workspace.environ, out, io.StringIO())
    assert run_collect(invocation, exists, clusters=lambda: ("Namespace:here",)) == 0
    return out.getvalue()


def test_the_table_lists_references_and_the_command_to_apply(upgraded: Workspace) -> None:
    out = io.StringIO()
    arguments = ["collect", "--catalog", str(upgraded.catalog), "--cache", str(upgraded.cache), "--keep", "0"]

    cache_warmer(arguments, upgraded.environ, out, io.StringIO())

    table = out.getvalue()
    assert "the current catalog" in table
    assert re.search(r"^[0-9a-f]{12} +3 +-$", table, re.MULTILINE), "the generation without a user"
    again = table.rpartition("Nothing was deleted: `cache-warmer ")[2].removesuffix("` does it\n")
    assert len(table.splitlines()) < 20, "one line a repository, not one a file"
    assert cache_warmer(shlex.split(again), upgraded.environ, io.StringIO(), io.StringIO()) == 0
    assert collect(upgraded, "--keep", "0")["going"] == []


def test_a_missing_cache_has_nothing_to_collect(workspace: Workspace) -> None:
    assert collect(workspace)["going"] == []
    assert not workspace.cache.exists()
