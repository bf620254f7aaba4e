"""The check of prepared forms: which are reported, and what is wrong with them."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Model, Precision
from model_cache.check.prepared_forms import FormReport, check_forms
from model_cache.check.types import Tier
from model_cache.prepared_form import PreparedForm, digest_of, dump_form
from model_cache.prepared_store import form_folder
from model_cache.reasons import Reason
from tests.support.cache_trees import ENTITIES, SENTIMENT, SENTIMENT_FILES, CacheTree, build_cache
from tests.support.prepared_forms import FILES, form_of, write_form

ASKS_INT8: Final = SENTIMENT._replace(serving=SENTIMENT.serving._replace(precision=Precision.INT8))
FORM: Final = form_of(SENTIMENT, SENTIMENT_FILES)


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def put(tree: CacheTree, form: PreparedForm = FORM) -> Path:
    folder = form_folder(tree.places, form, digest_of(dump_form(form)))
    write_form(folder, form)
    return folder


def check(tree: CacheTree, model: Model = ASKS_INT8, tier: Tier = Tier.FAST) -> tuple[FormReport, ...]:
    return check_forms([model, ENTITIES], tree.places, tier, lambda key, precision: f"make {key} {precision}")


def test_nothing_is_reported_of_a_catalog_in_fp32_and_a_cache_without_forms(tree: CacheTree) -> None:
    assert check(tree, SENTIMENT) == ()


def test_a_form_that_the_catalog_asks_for_is_reported_as_missing_with_the_command(tree: CacheTree) -> None:
    (report,) = check(tree)

    assert (report.key, report.precision, report.asked) == ("mood", Precision.INT8, True)
    assert report.reason is Reason.CACHE_INCOMPLETE
    assert report.problems[0].remedy == "run `make mood int8`"


@pytest.mark.parametrize("tier", [Tier.FAST, Tier.DEEP])
def test_an_intact_form_is_ok(tree: CacheTree, tier: Tier) -> None:
    folder = put(tree)

    (report,) = check(tree, tier=tier)

    assert report.reason is Reason.OK
    assert report.path == str(folder)
    assert report.digest[:8] == folder.name[-8:]
    assert report.variants == ("openvino-static", "torch-dynamic")
    assert report.bytes == sum(map(len, FILES.values()))


def test_a_form_that_is_not_asked_for_is_reported_too(tree: CacheTree) -> None:
    put(tree)

    (report,) = check(tree, SENTIMENT)

    assert (report.asked, report.reason) == (False, Reason.OK)


def test_a_form_of_other_weights_is_missing(tree: CacheTree) -> None:
    put(tree, form_of(SENTIMENT, {**SENTIMENT_FILES, "model.safetensors": b"other"}))

    assert [report.reason for report in check(tree)] == [Reason.CACHE_INCOMPLETE]
    assert check(tree, SENTIMENT) == ()


def test_without_the_models_record_a_form_cannot_be_judged(tree: CacheTree) -> None:
    put(tree)
    tree.record(SENTIMENT).unlink()

    (report,) = check(tree)

    assert report.reason is Reason.CACHE_INCOMPLETE
    assert "the model itself is not complete" in report.problems[0].detail


def test_a_file_that_is_gone_is_found(tree: CacheTree) -> None:
    (put(tree) / "notes.txt").unlink()

    (report,) = check(tree)

    assert report.reason is Reason.CACHE_INCOMPLETE
    assert report.problems[0].remedy == "run `make mood int8`"


def test_a_file_of_another_size_is_found(tree: CacheTree) -> None:
    (put(tree) / "notes.txt").write_bytes(b"longer than before")

    assert [report.reason for report in check(tree)] == [Reason.CACHE_CORRUPT]


def test_a_file_with_another_content_is_found_by_the_deep_check_only(tree: CacheTree) -> None:
    (put(tree) / "notes.txt").write_bytes(b"SHARED")

    assert [report.reason for report in check(tree)] == [Reason.OK]
    (deep,) = check(tree, tier=Tier.DEEP)
    assert deep.reason is Reason.CACHE_CORRUPT
    assert deep.problems[0].remedy == "run `make mood int8`"


def test_a_link_that_leads_out_of_the_cache_is_found(tree: CacheTree, tmp_path: Path) -> None:
    file = put(tree) / "notes.txt"
    file.rename(tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")

    (report,) = check(tree)

    assert report.reason is Reason.CACHE_CORRUPT
    assert "leads out of the cache" in report.problems[0].detail


def test_a_damaged_record_is_found(tree: CacheTree) -> None:
    record = put(tree) / "form.json"
    os.truncate(record, 100)

    (report,) = check(tree)

    assert report.reason is Reason.CACHE_CORRUPT
    assert report.problems[0].file == str(record)
