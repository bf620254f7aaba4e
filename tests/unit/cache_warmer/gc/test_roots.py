"""Roots that cannot be read end a run; a reference dies with its Deployment, if the API server confirms that."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.gc.roots import dead_references
from model_cache.errors import ManifestInvalid
from model_cache.manifest import dump_manifest, parse_manifest
from model_cache.references import Reference
from tests.support.generations import cache_at, files_below, hub_model, package, write_old_file

GENERATION: Final = "a" * 64


def test_a_reference_is_dead_only_if_the_api_server_confirms_it() -> None:
    names = ("gone", "there", "secret", "by-hand")
    references = {
        Path(name): Reference(
            f"ns/{name}", GENERATION, {}, "" if name == "by-hand" else "ns", name, cluster="here"
        )
        for name in names
    }
    warnings: list[str] = []

    def exists(namespace: str, name: str) -> bool:
        if name == "secret":
            raise RuntimeError("(403)\nReason: Forbidden")
        return name != "gone"

    dead = dead_references(references, exists, warnings.append, lambda: ("here", "also here"))
    assert dead == {Path("gone")}
    assert len(warnings) == 1
    assert "ns/secret counts as live" in warnings[0]


@pytest.mark.parametrize("cluster", ["", "there"])
def test_only_the_cluster_of_a_reference_can_tell_that_its_deployment_is_gone(cluster: str) -> None:
    reference = Reference("ns/x", GENERATION, {}, "ns", "x", cluster=cluster)
    warnings: list[str] = []

    for clusters in (lambda: ("here",), tuple):
        assert not dead_references({Path("f"): reference}, lambda *_: False, warnings.append, clusters)

    assert all("ns/x counts as live" in warning and "--forget f" in warning for warning in warnings)


def test_a_cluster_is_not_asked_for_where_no_release_is_referenced() -> None:
    by_hand = {Path("f"): Reference("team", GENERATION, {})}

    assert not dead_references(by_hand, lambda *_: False, lambda _: None, lambda: pytest.fail("asked"))


def test_a_manifest_with_files_of_others_ends_the_run(tmp_path: Path) -> None:
    mine, other = hub_model("one", "org/x", "b", ["b.bin"]), hub_model("two", "org/y", "c", ["c.bin"])
    cache = cache_at(tmp_path / "cache")
    cache.publish([mine, other], 1.0)
    (path,) = (cache.places.own.path / "manifests").glob("*.json")
    manifest = parse_manifest(path.read_bytes())
    first, second = manifest.models
    path.write_bytes(dump_manifest(manifest._replace(models=(first._replace(files=second.files), second))))

    for catalog in ([mine, other], [other]):
        with pytest.raises(ManifestInvalid, match=r"no file of o.*nothing is deleted"):
            cache.scan(catalog)


@pytest.mark.parametrize("folder", ["manifests", "references"])
def test_a_root_that_cannot_be_read_ends_the_run(tmp_path: Path, folder: str) -> None:
    models = [hub_model("one", "org/x", "b", ["b.bin"]), package("names", "de_a", "2.0")]
    cache = cache_at(tmp_path / "cache")
    cache.publish(models, 1.0)
    write_old_file(cache.places.own.path / folder / "damaged.json", b"{")
    before = files_below(cache.places.own.path.parent)

    with pytest.raises(ManifestInvalid, match=r"damaged\.json"):
        cache.scan(models)

    assert files_below(cache.places.own.path.parent) == before
