"""Roots that cannot be read end a run; a reference dies with its Deployment, if the API server confirms that."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.gc.roots import dead_references
from model_cache.errors import ManifestInvalid
from model_cache.references import Reference
from tests.support.generations import cache_at, files_below, hub_model, package, write_old_file

GENERATION: Final = "a" * 64


def test_a_reference_is_dead_only_if_the_api_server_confirms_it() -> None:
    names = ("gone", "there", "secret", "by-hand")
    references = {
        Path(name): Reference(f"ns/{name}", GENERATION, {}, "" if name == "by-hand" else "ns", name)
        for name in names
    }
    warnings: list[str] = []

    def exists(namespace: str, name: str) -> bool:
        if name == "secret":
            raise RuntimeError("(403)\nReason: Forbidden")
        return name != "gone"

    assert dead_references(references, exists, warnings.append) == {Path("gone")}
    assert len(warnings) == 1
    assert "ns/secret counts as live" in warnings[0]


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
