"""Which prepared form a model is served with, and which is refused."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Precision, Serving
from model_cache.prepared_form import PreparedForm, digest_of, dump_form
from model_cache.prepared_store import form_folder
from qda_worker.errors import ModelUnusable
from qda_worker.models.form_lookup import find_form, form_folders
from tests.support.cache_trees import MODELS, SENTIMENT, SENTIMENT_FILES, CacheTree, build_cache
from tests.support.prepared_forms import form_of, write_form

INT8: Final = SENTIMENT._replace(serving=Serving(precision=Precision.INT8))
COMMAND: Final = "make-it"


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def publish(tree: CacheTree, form: PreparedForm) -> Path:
    folder = form_folder(tree.places, form, digest_of(dump_form(form)))
    write_form(folder, form)
    return folder


def form(
    source_files: dict[str, bytes] = SENTIMENT_FILES, precision: Precision = Precision.INT8
) -> PreparedForm:
    return form_of(INT8, source_files, precision=precision)


def test_a_model_in_fp32_needs_none(tree: CacheTree) -> None:
    assert find_form(SENTIMENT, tree.places, None, COMMAND) is None


def test_the_form_of_the_cached_files_is_found(tree: CacheTree) -> None:
    folder = publish(tree, form())
    stored = find_form(INT8, tree.places, None, COMMAND)
    assert stored is not None
    assert (stored.folder, stored.form) == (folder, form())


@pytest.mark.parametrize(
    "other", [form({**SENTIMENT_FILES, "model.safetensors": b"other"}), form(precision=Precision.BF16)]
)
def test_a_form_of_other_weights_or_precision_is_not_used(tree: CacheTree, other: PreparedForm) -> None:
    publish(tree, other)
    with pytest.raises(ModelUnusable, match="no prepared form of these files") as refused:
        find_form(INT8, tree.places, None, COMMAND)
    assert refused.value.remedy == "run `make-it`"


def test_a_damaged_file_is_refused_though_its_size_is_right(tree: CacheTree) -> None:
    folder = publish(tree, form())
    content = (folder / "openvino-static/model.bin").read_bytes()
    (folder / "openvino-static/model.bin").write_bytes(b"x" + content[1:])
    with pytest.raises(ModelUnusable, match=r"model\.bin"):
        find_form(INT8, tree.places, None, COMMAND)


@pytest.mark.parametrize("change", ["missing", "short", "record"])
def test_an_incomplete_or_changed_form_is_refused(tree: CacheTree, change: str) -> None:
    folder = publish(tree, form())
    if change == "missing":
        (folder / "notes.txt").unlink()
    elif change == "short":
        os.truncate(folder / "notes.txt", 2)
    else:
        record = (folder / "form.json").read_bytes()
        (folder / "form.json").write_bytes(record.replace(b"0.999", b"0.998"))
    with pytest.raises(ModelUnusable) as refused:
        find_form(INT8, tree.places, None, COMMAND)
    assert refused.value.remedy == "run `make-it`"


def test_a_record_of_another_version_is_refused(tree: CacheTree) -> None:
    record = dump_form(form()).replace(b'"version": 1', b'"version": 2', 1)
    folder = form_folder(tree.places, form(), digest_of(record))
    write_form(folder, form())
    (folder / "form.json").write_bytes(record)
    with pytest.raises(ModelUnusable, match="version 2"):
        find_form(INT8, tree.places, None, COMMAND)


def test_without_a_record_of_the_model_no_form_can_be_compared(tree: CacheTree) -> None:
    publish(tree, form())
    tree.record(SENTIMENT).unlink()
    with pytest.raises(ModelUnusable, match="no record of its files"):
        find_form(INT8, tree.places, None, COMMAND)


def test_only_models_of_another_precision_have_a_folder_to_watch(tree: CacheTree) -> None:
    folders = form_folders(tree.places, [INT8, *MODELS[1:]])
    assert folders == {"mood": tree.root / ".model-cache/prepared/mood"}
