"""The files of the small models have the names and formats of the real ones, and lack the same files."""

import json
from pathlib import Path

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from model_cache.catalog.catalog import HuggingFaceSource, SpacySource
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog
from tests.service.small_models.plain_libraries import repository, sentence_transformer
from tests.support.fake_hub.repository import repository_from_folder
from tests.support.small_models import SmallModels
from tests.support.small_models.embedding import WIDTH
from tests.support.small_models.statements import Corpus


def test_the_catalog_has_the_keys_and_tasks_of_the_default_one(models: SmallModels) -> None:
    ours, default = load_catalog(models.catalog), load_catalog(None)
    assert [(model.key, model.task) for model in ours.models] == [
        (model.key, model.task) for model in default.models
    ]


def test_the_catalog_names_the_files_that_the_default_one_names(models: SmallModels) -> None:
    """So the demo fetches the same selection as for the real models."""
    for ours, default in zip(load_catalog(models.catalog).models, load_catalog(None).models, strict=True):
        if isinstance(ours.source, HuggingFaceSource):
            assert isinstance(default.source, HuggingFaceSource)
            assert set(ours.source.files) == set(default.source.files)


def test_the_lock_has_the_sizes_and_hashes_of_the_files(models: SmallModels) -> None:
    lock = load_lock(models.catalog)
    assert lock is not None
    for model in load_catalog(models.catalog).models:
        facts = lock.models[model.key].files
        if isinstance(model.source, SpacySource):
            (wheel,) = facts
            assert facts[wheel].bytes == (models.hub / "wheels" / wheel).stat().st_size
            assert facts[wheel].sha256 == model.source.sha256
            continue
        served = repository_from_folder(
            models.hub / "models" / model.source.repository, model.source.repository
        )
        assert served.commit == model.source.revision
        for path in model.source.files:
            assert (facts[path].bytes, facts[path].sha256) == (
                served.files[path].size,
                served.files[path].sha256,
            )


@pytest.mark.parametrize(
    ("name", "decoys"),
    [
        ("german-sentiment-bert", {"README.md", "pytorch_model.bin", "training_args.bin"}),
        (
            "multilingual-embedding",
            {"README.md", "imgs/miracl.jpg", "long.jpg", "onnx/model.onnx", "onnx/model.onnx_data"},
        ),
        (
            "multilingual-paraphrase",
            {
                "README.md",
                "onnx/model.onnx",
                "openvino/openvino_model.bin",
                "pytorch_model.bin",
                "tf_model.h5",
            },
        ),
    ],
)
def test_a_repository_holds_what_is_loaded_and_decoys(
    models: SmallModels, name: str, decoys: set[str]
) -> None:
    folder = repository(models, name)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    sources = (model.source for model in load_catalog(models.catalog).models)
    wanted = next(
        set(each.files) for each in sources if isinstance(each, HuggingFaceSource) and name in each.repository
    )
    assert there == wanted | decoys | {"repository.json"}


def test_the_sentiment_model_has_the_real_ones_labels_in_their_order(models: SmallModels) -> None:
    config = json.loads((repository(models, "german-sentiment-bert") / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "positive", "1": "negative", "2": "neutral"}


def test_modules_json_of_the_embedding_model_names_a_missing_folder(models: SmallModels) -> None:
    folder = repository(models, "multilingual-embedding")
    paths = [module["path"] for module in json.loads((folder / "modules.json").read_text("utf-8"))]
    assert paths == ["", "1_Pooling", "2_Normalize"]
    assert not (folder / "2_Normalize").exists()


def test_the_embedding_models_heads_are_half_precision_linear_layers(models: SmallModels) -> None:
    folder = repository(models, "multilingual-embedding")
    for name, rows in (("sparse_linear.pt", 1), ("colbert_linear.pt", WIDTH)):
        state = torch.load(folder / name, weights_only=True)
        assert {key: tuple(value.shape) for key, value in state.items()} == {
            "weight": (rows, WIDTH),
            "bias": (rows,),
        }
        assert {value.dtype for value in state.values()} == {torch.float16}


def test_the_embedding_model_uses_cls_pooling_and_normalizes(
    models: SmallModels,
) -> None:
    model = sentence_transformer(models, "multilingual-embedding")
    assert model.max_seq_length == 8192
    assert float(model.encode(["Ich bin müde."], convert_to_tensor=True).norm()) == pytest.approx(1, abs=1e-5)


def test_the_paraphrase_model_uses_mean_pooling_without_normalization(models: SmallModels) -> None:
    model = sentence_transformer(models, "multilingual-paraphrase")
    assert model.max_seq_length == 128
    assert float(model.encode(["Ich bin müde."], convert_to_tensor=True).norm()) != pytest.approx(1, abs=1e-2)
    assert load_file(repository(models, "multilingual-paraphrase") / "model.safetensors")


def test_both_tokenizers_are_one_file_and_agree_with_sentencepiece(
    models: SmallModels, corpus: Corpus
) -> None:
    folder = repository(models, "multilingual-embedding")
    for name in ("sentencepiece.bpe.model", "tokenizer.json"):
        assert (folder / name).read_bytes() == (
            repository(models, "multilingual-paraphrase") / name
        ).read_bytes()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    for group in corpus.held_out[:100]:
        assert tokenizer.tokenize(group[0].text) == pieces.encode(group[0].text, out_type=str)


def test_special_tokens_have_the_ids_of_xlm_roberta(models: SmallModels) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(repository(models, "multilingual-embedding")))
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    assert tokenizer("Ja")["input_ids"][0] == 0
    assert tokenizer("Ja")["input_ids"][-1] == 2


def test_loading_a_decoy_fails_because_it_holds_no_weights(models: SmallModels) -> None:
    decoy = Path(repository(models, "multilingual-paraphrase") / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"[Ww]eights only|magic|pickle"):
        torch.load(decoy, weights_only=True)
