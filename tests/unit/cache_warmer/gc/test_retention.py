"""Which generations are retained: the current one, those of live references, and the newest others."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.gc.retention import RetentionRules, decide_retention
from cache_warmer.gc.roots import GcRoots, PublishedManifest
from model_cache.places import PlaceName
from model_cache.references import Reference

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
FILES: Final = {
    name: frozenset({(PlaceName.HUB, f"models--o--n/snapshots/{name[0] * 40}/x")}) for name in (A, B, C)
}


def roots_with(*references: Reference) -> GcRoots:
    """Return three generations of one model each, named like it; C is the newest."""
    return GcRoots(
        tuple(
            PublishedManifest(name, Path(name), float(number), frozenset({name}))
            for number, name in enumerate((A, B, C))
        ),
        {name: Path(f"record-{name}") for name in (A, B, C)},
        FILES,
        {Path(reference.name): reference for reference in references},
    )


def retained(roots: GcRoots, generation: str = "0" * 64, keep: int = 0, **more: frozenset[Path]) -> set[str]:
    return set(decide_retention(roots, RetentionRules(generation, frozenset(), keep, **more)).retained)


def test_without_references_the_newest_generations_are_retained() -> None:
    assert retained(roots_with(), keep=0) == set()
    assert retained(roots_with(), keep=1) == {C}
    assert retained(roots_with(), keep=2) == {B, C}


def test_the_current_generation_does_not_count_as_one_of_the_newest() -> None:
    assert retained(roots_with(), A) == {A}
    assert retained(roots_with(), A, keep=1) == {A, C}


def test_a_live_reference_retains_its_generation_and_a_dead_one_does_not() -> None:
    roots = roots_with(Reference("ns/release", B, {"m": B}, "ns", "release"))

    assert retained(roots) == {B}
    assert retained(roots, dead_references=frozenset({Path("ns/release")})) == set()


def test_a_reference_to_an_unpublished_generation_retains_the_models_it_names() -> None:
    roots = roots_with(Reference("team", "f" * 64, {"m": A}))

    decision = decide_retention(roots, RetentionRules("0" * 64, frozenset(), 0))

    assert decision.retained_files == FILES[A]
    assert decision.expired_digests == {B, C}
    assert {manifest.generation for manifest in decision.expired_manifests} == {A, B, C}, (
        "a manifest promises all models of its generation, and no generation here is needed"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_the_choice_between_manifests_of_equal_age_is_stable(order: int) -> None:
    manifests = [PublishedManifest(name, Path(name), 5.0, frozenset({name})) for name in (A, B, C)][::order]

    roots = GcRoots(tuple(manifests), {}, FILES, {})

    assert retained(roots, keep=1) == {A}
