"""The embedding model's vectors are those of sentence-transformers called directly on the same files."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from model_cache.catalog.catalog import Serving, Task
from qda_worker.errors import ModelUnusable, TextTooLong
from qda_worker.models.base import LongText, Options
from qda_worker.models.embedding_encoder import leave_out_pooler
from qda_worker.models.loading import load_model
from tests.support.tiny_models import GERMAN, hub_model, write_bert_embedding, write_embedding, write_json

LONG: Final = "das Haus in Köln war nicht schlecht und die Stadt ist sehr gut " * 5
LAYOUTS: Final[dict[str, dict[str, Any]]] = {
    "as bge-m3: cls, normalized, pickle, without folder 2_Normalize": {
        "max_seq_length": 64,
        "normalize": True,
        "pooling": "cls",
        "as_pickle": True,
    },
    "as the paraphrase model: mean, not normalized, shorter than its positions": {
        "max_seq_length": 16,
        "normalize": False,
    },
}


def vector(model: Any, text: str, policy: LongText = LongText.CUT) -> Any:
    prepared = model.prepare(text, Options(policy))
    return model.finish(text, prepared, model.compute(prepared.units)).answer.dense


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vectors_equal_the_plain_library_alone_and_in_a_batch(tmp_path: Path, layout: str) -> None:
    folder = write_embedding(tmp_path, **LAYOUTS[layout])
    texts = [*GERMAN, LONG]
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    outputs = model.compute([model.prepare(text, Options()).units[0] for text in texts])
    together = [output.dense for output in outputs]
    plain = SentenceTransformer(str(folder), device="cpu").encode(texts)
    np.testing.assert_allclose(together, plain, atol=1e-5)
    np.testing.assert_allclose([vector(model, text) for text in texts], plain, atol=1e-5)
    assert together[0].dtype == np.float32
    assert model.info.dimension == 32


def test_models_with_token_types_equal_the_plain_library(tmp_path: Path) -> None:
    folder = write_bert_embedding(tmp_path)
    model = load_model(hub_model(Task.PARAPHRASE), folder, device="cpu", threads=1)
    plain = SentenceTransformer(str(folder), device="cpu").encode([*GERMAN, LONG])
    np.testing.assert_allclose([vector(model, text) for text in [*GERMAN, LONG]], plain, atol=1e-5)


def test_a_layer_whose_output_nobody_reads_is_not_computed(tmp_path: Path) -> None:
    library = SentenceTransformer(str(write_bert_embedding(tmp_path)), device="cpu")
    encoder: Any = library[0].auto_model
    expected = library.encode(GERMAN)
    assert encoder.pooler is not None

    leave_out_pooler(library)

    assert encoder.pooler is None
    np.testing.assert_array_equal(library.encode(GERMAN), expected)


def test_a_layer_whose_output_is_the_vector_is_computed(tmp_path: Path) -> None:
    library = SentenceTransformer(str(write_bert_embedding(tmp_path)), device="cpu")
    first: Any = library[0]
    first.modality_config = {"text": {"method": "forward", "method_output_name": "pooler_output"}}

    leave_out_pooler(library)

    assert first.auto_model.pooler is not None


def test_a_network_that_may_need_the_layer_keeps_it(tmp_path: Path) -> None:
    library = SentenceTransformer(str(write_bert_embedding(tmp_path)), device="cpu")
    encoder: Any = library[0].auto_model
    encoder.config.model_type = "squeezebert"  # it calls its pooler without a look

    leave_out_pooler(library)

    assert encoder.pooler is not None


def test_the_limit_is_the_models_own_max_seq_length(tmp_path: Path) -> None:
    """The library cuts there, not at the tokenizer's 512 or the network's 64 positions."""
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=False)
    model = load_model(hub_model(Task.PARAPHRASE), folder, device="cpu", threads=1)
    prepared = model.prepare(LONG, Options())
    assert (model.info.max_length, prepared.used_length, prepared.cut) == (16, 16, True)
    with pytest.raises(TextTooLong):
        model.prepare(LONG, Options(LongText.ERROR))


def test_the_catalog_may_lower_the_limit(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=False)
    model = load_model(hub_model(Task.EMBEDDING, Serving(max_tokens=8)), folder, device="cpu", threads=1)
    library = SentenceTransformer(str(folder), device="cpu")
    library.max_seq_length = 8
    np.testing.assert_allclose(vector(model, LONG), library.encode([LONG])[0], atol=1e-5)


def test_the_positions_of_the_network_limit_the_length(tmp_path: Path) -> None:
    """Two of 66 positions are reserved, which leaves 64 tokens. The library alone would exceed its table."""
    folder = write_embedding(tmp_path, max_seq_length=500, normalize=True)
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    assert model.info.max_length == 64
    assert np.isfinite(vector(model, LONG * 3)).all()


@pytest.mark.parametrize("normalize", [True, False])
def test_windows_are_averaged_by_length_and_normalised_if_the_model_does(
    tmp_path: Path, normalize: bool
) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=normalize)
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    prepared = model.prepare(LONG, Options(LongText.WINDOW))
    rows = np.stack([output.dense for output in model.compute(prepared.units)])
    mean = np.average(rows, axis=0, weights=[window.length for window in prepared.windows])
    expected = mean / np.linalg.norm(mean) if normalize else mean
    np.testing.assert_allclose(vector(model, LONG, LongText.WINDOW), expected, atol=1e-5)
    assert np.linalg.norm(vector(model, LONG, LongText.WINDOW)) == pytest.approx(1.0) or not normalize
    assert len(prepared.windows) > 2


def test_the_default_prompt_of_a_model_is_applied(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=64, normalize=True)
    write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {"topic": "das Haus "}, "default_prompt_name": "topic"},
    )
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    plain = SentenceTransformer(str(folder), device="cpu").encode(["gut"])[0]
    np.testing.assert_allclose(vector(model, "gut"), plain, atol=1e-5)


def test_a_model_without_modules_json_is_refused(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True)
    (folder / "modules.json").unlink()
    with pytest.raises(ModelUnusable, match=r"model tiny: modules\.json is missing"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)


@pytest.mark.parametrize("as_pickle", [False, True])
def test_weights_that_lack_tensors_of_the_encoder_are_refused(tmp_path: Path, as_pickle: bool) -> None:
    """By default, transformers fills them with random numbers and continues."""
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True, as_pickle=as_pickle)
    lost = "encoder.layer.1.attention.self.query"
    if as_pickle:
        file = folder / "pytorch_model.bin"
        state = torch.load(file, weights_only=True)
        torch.save({name: each for name, each in state.items() if not name.startswith(lost)}, file)
    else:
        state = load_file(folder / "model.safetensors")
        kept = {name: each for name, each in state.items() if not name.startswith(lost)}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnusable, match=rf"lack 2 tensors of the encoder.*{lost}\.bias"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True)
    save_file({"other.weight": torch.ones(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnusable, match="tensors of the encoder"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)


def test_an_unused_pooler_may_be_missing(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True)
    state = load_file(folder / "model.safetensors")
    kept = {name: each for name, each in state.items() if not name.startswith("pooler.")}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    plain = SentenceTransformer(str(folder), device="cpu").encode(["gut"])[0]
    np.testing.assert_allclose(vector(model, "gut"), plain, atol=1e-5)
