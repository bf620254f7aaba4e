"""The references of a warm: one for each name and owner, and pending models before anything is fetched."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.reference import ReferenceWriter
from model_cache.catalog.catalog import HuggingFaceSource, Model, Task, model_digest
from model_cache.places import Places, resolve_places
from model_cache.references import Reference, dump_reference, read_references, reference_path

MODEL: Final = Model("one", Task.SENTIMENT, HuggingFaceSource("org/x", "a" * 40, ("a.json",)))
OTHER: Final = MODEL._replace(key="two")
OLD, NEW = "1" * 64, "2" * 64


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path), {}, tmp_path)


def writer(
    places: Places, *identities: str, deployment: str = "qda", name: str = "ns/qda"
) -> ReferenceWriter:
    now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731  # a clock
    namespace = "ns" if deployment else ""
    return ReferenceWriter(name, namespace, deployment, places, now, lambda: identities)


def stored(places: Places) -> list[Reference]:
    return list(read_references(places)[0].values())


def test_two_owners_of_one_name_have_a_reference_each(places: Places) -> None:
    writer(places, "a").record(OLD, [MODEL])
    writer(places, "b").record(NEW, [MODEL])
    writer(places, "host", deployment="", name="default").record(OLD, [MODEL])
    writer(places, "guest", deployment="", name="default").record(NEW, [MODEL])

    assert sorted((one.name, one.owner, one.generation) for one in stored(places)) == [
        ("default", "guest", NEW), ("default", "host", OLD), ("ns/qda", "a", OLD), ("ns/qda", "b", NEW),
    ]  # fmt: skip


def test_another_identity_of_the_same_cluster_takes_its_reference_over(places: Places) -> None:
    writer(places, "claim").record(OLD, [MODEL])
    writer(places, "system", "claim").record(NEW, [MODEL])

    assert [(one.owner, one.generation) for one in stored(places)] == [("system", NEW)]


@pytest.mark.parametrize(("generation", "stays"), [(NEW, False), (OLD, True)])
def test_a_former_reference_without_an_owner_goes_if_nothing_is_lost(
    places: Places, generation: str, stays: bool
) -> None:
    former = Reference("ns/qda", generation, {}, "ns", "qda")
    path = reference_path(places, "ns/qda")
    path.parent.mkdir(parents=True)
    path.write_bytes(dump_reference(former))

    writer(places, "a").record(NEW, [MODEL])

    assert path.exists() is stays


def test_pending_models_stand_beside_what_the_reference_names(places: Places) -> None:
    warm = writer(places, "a")
    warm.record(OLD, [MODEL])

    warm.record_pending(NEW, [MODEL, OTHER])

    (reference,) = stored(places)
    assert (reference.generation, set(reference.models)) == (OLD, {"one"})
    assert [(one.digest, one.folder) for one in reference.pending] == [
        (model_digest(OTHER), f"models--org--x/snapshots/{'a' * 40}")
    ]
    assert not warm.is_recorded(OLD, [MODEL])
    warm.record(NEW, [MODEL, OTHER])
    assert stored(places)[0].pending == ()
    assert warm.is_recorded(NEW, [MODEL, OTHER])


def test_a_first_warm_leaves_a_reference_of_what_is_pending(places: Places) -> None:
    writer(places, "a").record_pending(NEW, [MODEL])

    (reference,) = stored(places)
    assert (dict(reference.models), len(reference.pending)) == ({}, 1)
