"""Garbage collection of prepared forms: those of gone sources and superseded ones go, all others stay."""

import os
from pathlib import Path

from model_cache.catalog.catalog import HuggingFaceSource, Model, Precision
from model_cache.layout import prepared_folder
from model_cache.prepared_form import digest_of, dump_form
from model_cache.prepared_store import form_folder
from tests.support.generations import OLD, FilledCache, rules_for, write_old_file
from tests.support.prepared_forms import form_of, write_form
from tests.unit.cache_warmer.gc.conftest import NEWER, OLDER, collect


def put(
    cache: FilledCache,
    model: Model,
    recipe: str = "a",
    precision: Precision = Precision.INT8,
    at: float = OLD,
) -> Path:
    form = form_of(model, {"a.json": b"x"}, precision=precision, recipe={"method": recipe})
    folder = form_folder(cache.places, form, digest_of(dump_form(form)))
    write_form(folder, form)
    os.utime(folder / "form.json", (at, at))
    return folder


def test_the_form_of_a_retained_model_stays(cache: FilledCache) -> None:
    forms = [put(cache, NEWER[0]), put(cache, NEWER[0], precision=Precision.BF16)]

    plan = collect(cache)

    assert all(form.is_dir() for form in forms)
    assert not [deletion for deletion in plan.deletions if deletion.path in forms]


def test_the_form_of_a_model_that_goes_goes_with_it(cache: FilledCache) -> None:
    old, new = put(cache, OLDER[0]), put(cache, NEWER[0])

    plan = collect(cache)

    assert not old.exists()
    assert new.is_dir()
    assert [str(deletion.kind) for deletion in plan.deletions if deletion.path == old] == ["form"]


def test_the_form_of_a_model_that_a_reference_needs_stays(cache: FilledCache) -> None:
    old = put(cache, OLDER[0])

    collect(cache, [*OLDER, NEWER[1]])

    assert old.is_dir()


def test_a_superseded_form_goes(cache: FilledCache) -> None:
    first, second = put(cache, NEWER[0], "a", at=OLD), put(cache, NEWER[0], "b", at=OLD + 1)

    collect(cache)

    assert not first.exists()
    assert second.is_dir()


def test_the_last_form_takes_its_folders_with_it(cache: FilledCache) -> None:
    put(cache, OLDER[0])

    collect(cache)

    assert not prepared_folder(cache.places).exists()


def test_a_damaged_form_is_held_while_its_revision_is_retained(cache: FilledCache) -> None:
    damaged, gone = put(cache, NEWER[0]), put(cache, OLDER[0])
    for form in (damaged, gone):
        (form / "form.json").write_bytes(b"{")

    plan = collect(cache)

    assert damaged.is_dir()
    assert [hold.path for hold in plan.holds] == [damaged]
    assert not gone.exists()


def test_the_form_of_the_catalogs_model_stays_before_that_is_fetched(cache: FilledCache) -> None:
    wanted = NEWER[0]._replace(source=HuggingFaceSource("org/later", "c" * 40, ("x",)))
    form = put(cache, wanted)

    collect(cache, [wanted])

    assert form.is_dir()


def test_an_old_staging_folder_goes_and_a_young_one_stays(cache: FilledCache) -> None:
    form = put(cache, NEWER[0])
    old, young = (form.with_name(f".{form.name}.form-{name}.incomplete") for name in ("old", "young"))
    for folder in (old, young):
        write_old_file(folder / "weights.bin")
    os.utime(old, (OLD, OLD))
    os.utime(young, (OLD + 7200, OLD + 7200))

    collect(cache)

    assert not old.exists()
    assert young.is_dir()


def test_a_host_keeps_and_removes_forms_alike(host: FilledCache) -> None:
    old, new = put(host, OLDER[0]), put(host, NEWER[0])

    collect(host)

    assert not old.exists()
    assert new.is_dir()


def test_a_sweep_that_is_interrupted_leaves_no_half_form(cache: FilledCache) -> None:
    old = put(cache, OLDER[0])
    names = sorted(path.name for path in old.rglob("*"))
    for deletions in range(6):
        collector = cache.collector(NEWER, deletions)
        plan = collector.scan(rules_for(NEWER))
        try:
            collector.apply(plan)
        except KeyboardInterrupt:
            assert not old.exists() or sorted(path.name for path in old.rglob("*")) == names
    collect(cache)
    assert not old.exists()
