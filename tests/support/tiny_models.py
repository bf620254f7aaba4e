"""Tiny models with random weights from a fixed seed, saved by the libraries themselves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from model_cache.catalog.catalog import HuggingFaceSource, Model, Serving, SpacySource, Task

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
LETTERS: Final = "abcdefghijklmnopqrstuvwxyzäöüßABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ0123456789.,!?'-"
WORDS: Final = (
    "das",
    "ist",
    "gut",
    "nicht",
    "sehr",
    "schlecht",
    "Haus",
    "in",
    "Köln",
    "und",
    "war",
    "die",
    "Stadt",
)
GERMAN: Final = (
    "Das war sehr gut, und die Stadt ist schön!",
    "nicht schlecht",
    "Wir haben 42 Häuser in Köln gesehen. https://example.org @otto",
    "😀🎉",
    "  Leerraum \t\n am Rand  ",
    "NUL\x00 mitten im Wort",
    "gru\u0308n und Ω und [SEP] <s> im Text",
    "x",
)


def hub_model(task: Task, serving: Serving | None = None) -> Model:
    """Return a catalog model from a hub. The test writes its files."""
    source = HuggingFaceSource("qda-test/tiny", COMMIT, ("*",))
    return Model("tiny", task, source, serving or Serving(), "MIT")


def spacy_model(serving: Serving | None = None) -> Model:
    """Return a catalog model from a spaCy package. The test writes its files."""
    source = SpacySource(
        "de_tiny", "1.0.0", "https://example.invalid/de_tiny-1.0.0-py3-none-any.whl", "0" * 64
    )
    return Model("tiny-ner", Task.ENTITIES, source, serving or Serving(), "MIT")


def bert_tokenizer(folder: Path, limit: int) -> int:
    """Write a cased WordPiece tokenizer with a limit of `limit` tokens. Return the size of its vocabulary."""
    pieces = [*WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(pieces)]
    tokenizer = BertTokenizer(
        vocab={piece: number for number, piece in enumerate(vocabulary)},
        do_lower_case=False,
        model_max_length=limit,
    )
    tokenizer.save_pretrained(folder)
    return len(vocabulary)


def bert_config(vocabulary: int, positions: int, labels: Sequence[str], spread: float = 0.5) -> BertConfig:
    """Return the configuration of a BERT with two layers of width 32.

    `spread` is the standard deviation of its weights: with 0.5, small differences of the input grow.
    """
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        initializer_range=spread,
    )


def write_classifier(
    folder: Path, labels: Sequence[str], *, limit: int = 24, positions: int = 24, spread: float = 0.5
) -> Path:
    """Write a sentiment classifier in the layout of german-sentiment-bert."""
    torch.manual_seed(1)
    config = bert_config(bert_tokenizer(folder, limit), positions, labels, spread)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def xlmr_tokenizer(folder: Path, limit: int) -> int:
    """Write a Unigram tokenizer with XLM-R's special tokens. Return the size of its vocabulary."""
    pieces = ["▁", *(f"▁{word}" for word in WORDS), *LETTERS]
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, -1.0 - number / 100) for number, piece in enumerate(dict.fromkeys(pieces))]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # the library leaves it untyped
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=limit,
    ).save_pretrained(folder)
    return len(vocabulary)


def write_embedding(
    folder: Path,
    *,
    max_seq_length: int,
    normalize: bool,
    pooling: str = "mean",
    as_pickle: bool = False,
    heads: bool = False,
    positions: int = 66,
    spread: float = 0.5,
    layers: int = 2,
) -> Path:
    """Write a sentence-transformers model on XLM-R in the layout of bge-m3 (all options) or mpnet (no options)."""
    torch.manual_seed(2)
    config = XLMRobertaConfig(
        vocab_size=xlmr_tokenizer(folder, max(512, max_seq_length)),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=spread,
    )
    network = XLMRobertaModel(config)
    network.save_pretrained(folder)
    if as_pickle:
        (folder / "model.safetensors").unlink()
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + [("2_Normalize", "Normalize")] * normalize
    write_json(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(modules)
        ],
    )
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False}
    )
    (folder / "1_Pooling").mkdir()
    if heads:
        write_heads(folder, 32)
    flags = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **flags})
    return folder


def write_heads(folder: Path, width: int) -> None:
    """Write bge-m3's two linear layers in float16, as they are published."""
    for name, out in (("sparse", 1), ("colbert", width)):
        layer = torch.nn.Linear(width, out).half()
        torch.save(dict(layer.state_dict()), folder / f"{name}_linear.pt")


def write_bert_embedding(folder: Path) -> Path:
    """Write a sentence-transformers model on BERT, with token types, in the layout of all-MiniLM-L6-v2."""
    torch.manual_seed(3)
    BertModel(bert_config(bert_tokenizer(folder, 24), 24, ("a", "b"))).save_pretrained(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write_json(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(modules)
        ],
    )
    (folder / "1_Pooling").mkdir()
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    )
    return folder


def write_json(file: Path, document: object) -> None:
    """Write one JSON file."""
    file.write_text(json.dumps(document), encoding="utf-8")
