"""Who needs what: references, the present catalog, the last generations, and releases that are gone."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.gc.retention import RetentionRules, decide
from cache_warmer.gc.roots import GcRoots, Published, dead_releases
from model_cache.places import PlaceName
from model_cache.references import Reference

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
KEYS: Final = {
    name: frozenset({(PlaceName.HUB, f"models--o--n/snapshots/{name[0] * 40}/x")}) for name in (A, B, C)
}


def promises(*references: Reference) -> GcRoots:
    """Three generations of one model each, named like it; C is the newest."""
    return GcRoots(
        tuple(
            Published(name, Path(name), float(number), frozenset({name}))
            for number, name in enumerate((A, B, C))
        ),
        {name: Path(f"record-{name}") for name in (A, B, C)},
        KEYS,
        (),
        {Path(reference.name): reference for reference in references},
    )


def kept(found: GcRoots, generation: str = "0" * 64, keep: int = 0, **more: frozenset[Path]) -> set[str]:
    return set(decide(found, RetentionRules(generation, frozenset(), keep, **more)).why)


def test_without_anybody_the_last_stay() -> None:
    assert kept(promises(), keep=0) == set()
    assert kept(promises(), keep=1) == {C}
    assert kept(promises(), keep=2) == {B, C}


def test_the_present_catalog_stays_and_is_not_one_of_the_last() -> None:
    assert kept(promises(), A) == {A}
    assert kept(promises(), A, keep=1) == {A, C}


def test_what_a_live_release_needs_stays_and_what_a_dead_one_needs_goes() -> None:
    found = promises(Reference("ns/release", B, {"m": B}, "ns", "release"))

    assert kept(found) == {B}
    assert kept(found, dead=frozenset({Path("ns/release")})) == set()


def test_a_generation_that_is_not_published_keeps_the_models_that_its_reference_names() -> None:
    found = promises(Reference("somebody", "f" * 64, {"m": A}))

    decision = decide(found, RetentionRules("0" * 64, frozenset(), 0))

    assert decision.kept_files == KEYS[A]
    assert decision.going_digests == {B, C}
    assert {one.generation for one in decision.going} == {A, B, C}, (
        "a manifest promises all, and this one is not needed"
    )


def test_a_release_is_dead_only_if_the_api_server_says_so() -> None:
    names = ("gone", "there", "secret", "by-hand")
    references = {
        Path(name): Reference(f"ns/{name}", A, {}, "" if name == "by-hand" else "ns", name) for name in names
    }
    told: list[str] = []

    def exists(namespace: str, name: str) -> bool:
        if name == "secret":
            raise RuntimeError("(403)\nReason: Forbidden")
        return name != "gone"

    assert dead_releases(references, exists, told.append) == {Path("gone")}
    assert len(told) == 1
    assert "ns/secret counts as living" in told[0]


@pytest.mark.parametrize("order", [1, -1])
def test_of_equal_ages_the_choice_is_the_same_each_time(order: int) -> None:
    manifests = [Published(name, Path(name), 5.0, frozenset({name})) for name in (A, B, C)][::order]

    found = GcRoots(tuple(manifests), {}, KEYS, (), {})

    assert kept(found, keep=1) == {A}
