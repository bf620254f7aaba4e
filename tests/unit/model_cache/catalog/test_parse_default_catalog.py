"""The built-in catalog and its lock: pinned, consistent, and without files that are not loaded."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task
from model_cache.catalog.lock import Lock, load_lock
from model_cache.catalog.parse import (
    BUILT_IN_ORIGIN,
    load_catalog,
    load_compiled_nodes,
    parse_catalog,
    read_catalog_text,
)
from model_cache.catalog.yaml_text import YamlReader

MODELS: Final = load_catalog(None).models


def lock() -> Lock:
    found = load_lock(None)
    assert found is not None
    return found


def test_the_built_in_catalog_has_one_model_per_task() -> None:
    assert [(model.key, model.task, model.licence) for model in MODELS] == [
        ("german-sentiment", Task.SENTIMENT, "MIT"),
        ("german-ner", Task.ENTITIES, "MIT"),
        ("multilingual-embedding", Task.EMBEDDING, "MIT"),
        ("multilingual-paraphrase", Task.PARAPHRASE, "Apache-2.0"),
    ]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_the_lock_has_the_revisions_and_files_of_the_catalog(model: Model) -> None:
    locked = lock().models[model.key]
    files = model.source.files if isinstance(model.source, HuggingFaceSource) else (model.source.wheel_name,)
    assert (locked.source, locked.revision) == (model.source_name, model.revision)
    assert sorted(locked.files) == sorted(files)


def test_the_lock_has_no_other_model() -> None:
    assert set(lock().models) == {model.key for model in MODELS}


def test_half_of_the_repository_of_bge_m3_is_fetched() -> None:
    """2,295,419,991 bytes is the published sum of what SentenceTransformer loads, with the two heads."""
    locked = lock().models["multilingual-embedding"]
    assert sum(file.bytes or 0 for file in locked.files.values()) == 2_295_419_991
    assert locked.whole_repository_bytes_about is not None
    assert locked.whole_repository_bytes_about > 1.9 * 2_295_419_991


def test_the_wheel_has_the_same_hash_in_catalog_and_lock() -> None:
    source = next(model.source for model in MODELS if isinstance(model.source, SpacySource))
    assert lock().models["german-ner"].files[source.wheel_name].sha256 == source.sha256


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_no_model_has_its_weights_in_two_formats(model: Model) -> None:
    if isinstance(model.source, HuggingFaceSource):
        weights = {"model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"}
        assert len(weights.intersection(model.source.files)) == 1
        assert not [
            file for file in model.source.files if "*" in file or file.startswith(("onnx", "openvino"))
        ]


def test_the_compiled_nodes_are_those_of_the_catalogs_text() -> None:
    """If this fails: run `python -m model_cache.catalog.parse` and commit `default.nodes.json`."""
    text = read_catalog_text(None)
    assert load_compiled_nodes(text) == YamlReader(text, lambda *_: None).document()
    assert load_catalog(None) == parse_catalog(text, BUILT_IN_ORIGIN)


def test_compiled_nodes_of_another_text_or_damaged_ones_are_ignored(tmp_path: Path) -> None:
    text = read_catalog_text(None)
    assert load_compiled_nodes(text + " ") is None
    assert load_compiled_nodes(text, tmp_path / "none") is None
    for content in (b"", b"[]", b'{"sha256": 1}', b"\xff"):
        (tmp_path / "kept").write_bytes(content)
        assert load_compiled_nodes(text, tmp_path / "kept") is None
