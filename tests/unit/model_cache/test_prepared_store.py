"""Prepared forms in a cache: their folders, and which of them counts."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Precision
from model_cache.layout import prepared_folder
from model_cache.manifest import parse_model_record
from model_cache.places import Places
from model_cache.prepared_form import FormInvalid, PreparedForm, digest_of, dump_form
from model_cache.prepared_store import (
    file_records,
    find,
    form_folder,
    list_folders,
    source_hashes,
)
from tests.support.cache_trees import SENTIMENT, SENTIMENT_FILES, CacheTree, build_cache
from tests.support.prepared_forms import form_of, write_form

KEY: Final = SENTIMENT.key


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def hashes(tree: CacheTree) -> dict[str, str]:
    return source_hashes(parse_model_record(tree.record(SENTIMENT).read_bytes()).files, SENTIMENT)


def put(places: Places, form: PreparedForm, second: int) -> Path:
    folder = form_folder(places, form, digest_of(dump_form(form)))
    write_form(folder, form)
    os.utime(folder / "form.json", (second, second))
    return folder


def int8(recipe: str = "a", source: dict[str, bytes] = SENTIMENT_FILES) -> PreparedForm:
    return form_of(SENTIMENT, source, recipe={"method": recipe})


def test_hashes_are_named_as_in_the_models_folder(tree: CacheTree) -> None:
    assert sorted(hashes(tree)) == sorted(SENTIMENT_FILES)


def test_a_cache_without_forms_has_none(tree: CacheTree) -> None:
    assert list_folders(tree.places) == ()
    assert find(tree.places, KEY, hashes(tree), Precision.INT8) is None


def test_a_form_is_found_by_model_source_and_precision(tree: CacheTree) -> None:
    folder = put(tree.places, int8(), 1)
    found = find(tree.places, KEY, hashes(tree), Precision.INT8, SENTIMENT.revision)

    assert found is not None
    assert (found.folder, found.form) == (folder, int8())
    assert folder.parent == prepared_folder(tree.places) / KEY
    assert folder.name == f"aaaaaaaa-int8-{found.digest[:8]}"
    assert find(tree.places, KEY, hashes(tree), Precision.BF16) is None
    assert find(tree.places, "other", hashes(tree), Precision.INT8) is None
    assert find(tree.places, KEY, hashes(tree), Precision.INT8, "b" * 40) is None


def test_the_form_that_was_published_last_counts(tree: CacheTree) -> None:
    put(tree.places, int8("a"), 3)
    put(tree.places, int8("b"), 5)
    put(tree.places, int8("c"), 4)

    found = find(tree.places, KEY, hashes(tree), Precision.INT8)

    assert found is not None
    assert found.form.recipe == {"method": "b"}


def test_a_form_of_other_weights_is_passed_over(tree: CacheTree) -> None:
    put(tree.places, int8("a"), 3)
    put(tree.places, int8("b", {**SENTIMENT_FILES, "model.safetensors": b"other"}), 5)

    found = find(tree.places, KEY, hashes(tree), Precision.INT8)

    assert found is not None
    assert found.form.recipe == {"method": "a"}


def test_a_damaged_record_is_an_error_and_no_older_form_replaces_it(tree: CacheTree) -> None:
    put(tree.places, int8("a"), 3)
    damaged = put(tree.places, int8("b"), 5)
    record = damaged / "form.json"
    record.write_bytes(record.read_bytes().replace(b"static", b"statik").replace(b'"b"', b'"x"'))
    os.utime(record, (5, 5))

    with pytest.raises(FormInvalid, match="not the one that was published here"):
        find(tree.places, KEY, hashes(tree), Precision.INT8)
    record.unlink()
    with pytest.raises(FormInvalid, match="cannot be read"):
        find(tree.places, KEY, hashes(tree), Precision.INT8)


def test_links_and_foreign_names_are_no_forms(tree: CacheTree, tmp_path: Path) -> None:
    folder = put(tree.places, int8(), 1)
    outside = tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    for name in (".staging", "aaaaaaaa-int8-short", "aaaaaaaa-fp32-00000000", "x"):
        (folder.parent / name).mkdir()

    assert list_folders(tree.places) == ()


def test_the_files_of_a_form_are_records_of_our_own_place(tree: CacheTree) -> None:
    folder = put(tree.places, int8(), 1)
    found = find(tree.places, KEY, hashes(tree), Precision.INT8)
    assert found is not None

    records = file_records(found)

    assert [tree.places.own.path / record.path for record in records] == [
        folder / file.path for file in found.form.files
    ]
    assert [(record.bytes, record.sha256) for record in records] == [
        (file.size, file.sha256) for file in found.form.files
    ]
