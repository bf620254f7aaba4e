"""Models of the sizes of the default catalog's, with random weights, in a cache as the warmer publishes it.

Nothing is downloaded: the three hub models have the configurations of the real ones, so memory and speed are theirs,
and their answers mean nothing. The entity model is the small one that the tests train, because the vectors of
de_core_news_lg cannot be made up; the real one has 0.5 GB more.
"""

import json
import random
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from model_cache.catalog.catalog import SpacySource
from tests.service.worker.fixtures import CacheFixture
from tests.support.small_models import small_models

SENTIMENT: Final = "german-sentiment"
ENTITIES: Final = "german-ner"
EMBEDDING: Final = "multilingual-embedding"
PARAPHRASE: Final = "multilingual-paraphrase"

_WHEEL: Final = "de_demo_news_sm-3.8.0-py3-none-any.whl"
_CATALOG: Final = f"""\
apiVersion: qda/v1
kind: Catalog
models:
  - key: {SENTIMENT}
    task: sentiment
    huggingface: {{repository: benchmark/sentiment, revision: {"1" * 40}, files: ["*"]}}
    serving: {{cleaning: german-sentiment, max_tokens: 512}}
  - key: {ENTITIES}
    task: entities
    spacy: {{package: de_demo_news_sm, version: 3.8.0, url: https://example.invalid/{_WHEEL}, sha256: "{"2" * 64}"}}
  - key: {EMBEDDING}
    task: embedding
    huggingface: {{repository: benchmark/embedding, revision: {"3" * 40}, files: ["*"]}}
    serving: {{max_tokens: 8192}}
  - key: {PARAPHRASE}
    task: paraphrase
    huggingface: {{repository: benchmark/paraphrase, revision: {"4" * 40}, files: ["*"]}}
    serving: {{max_tokens: 128}}
"""
# Sizes of the vocabularies: german-sentiment-bert, XLM-R.
_BERT_VOCABULARY: Final = 31_102
_XLMR_VOCABULARY: Final = 250_002
_ONSETS: Final = (
    "b",
    "br",
    "d",
    "f",
    "g",
    "gl",
    "h",
    "k",
    "l",
    "m",
    "n",
    "r",
    "s",
    "sch",
    "st",
    "t",
    "v",
    "w",
    "z",
)
_VOWELS: Final = ("a", "e", "i", "o", "u", "ä", "ö", "ü", "au", "ei", "eu", "ie")
_CODAS: Final = ("", "n", "r", "s", "t", "l", "ng", "cht", "m", "nd", "ck")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzäöüßABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ0123456789.,!?'-"
_SPECIAL_TOKENS: Final = {
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
    "pad_token": "<pad>", "unk_token": "<unk>",
}  # fmt: skip
# Words that texts are made of; the rest of the vocabulary only takes memory.
_TEXT_WORDS: Final = 5_000


def create_real_size_cache(folder: Path) -> CacheFixture:
    """Return the cache in a folder, which is written (4 GB, a minute) unless it is there and complete.

    Where spaCy is not installed it has no entity model.
    """
    fixture = CacheFixture(folder)
    done = folder / "complete"
    if done.exists():
        return fixture
    folder.mkdir(parents=True, exist_ok=True)
    catalog = yaml.safe_load(_CATALOG)
    if find_spec("spacy") is None:
        catalog["models"] = [model for model in catalog["models"] if "spacy" not in model]
    fixture.catalog_file.write_text(yaml.safe_dump(catalog, sort_keys=False), encoding="utf-8")
    torch.manual_seed(1)
    _write_sentiment(_empty(fixture.path(SENTIMENT)))
    if any(model.key == ENTITIES for model in fixture.catalog.models):
        _write_entities(fixture)
    _write_paraphrase(_empty(fixture.path(PARAPHRASE)))
    _write_embedding(_empty(fixture.path(EMBEDDING)))
    fixture.publish()
    done.touch()
    return fixture


def make_texts(count: int, tokens: tuple[int, int], seed: int = 1) -> list[str]:
    """Return German-looking texts whose lengths are log-normal around the middle of a range of tokens.

    Args:
        count: number of texts, all different.
        tokens: minimum and maximum number of tokens, special tokens included.
        seed: of the random numbers.
    """
    low, high = tokens
    rng = random.Random(seed)  # noqa: S311  # not secret
    words = _text_words()
    texts = []
    for _ in range(count):
        length = min(high, max(low, round((low + high) / 2 * rng.lognormvariate(0, 0.2)))) - 2
        texts.append(" ".join(rng.choices(words, k=max(1, length))))
    return texts


@cache
def _text_words() -> tuple[str, ...]:
    """Return the words that texts are made of."""
    return tuple(word for word, _ in zip(_words(), range(_TEXT_WORDS), strict=False))


def _words() -> Iterator[str]:
    """Yield distinct words of two to four syllables without end, always the same ones."""
    rng = random.Random(0)  # noqa: S311  # not secret
    seen: set[str] = set()
    while True:
        syllables = (
            rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.randint(2, 4))
        )
        word = "".join(syllables)
        if word not in seen:
            seen.add(word)
            yield word


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _write_sentiment(folder: Path) -> None:
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *_LETTERS,
        *(f"##{letter}" for letter in _LETTERS),
    ]
    pieces += [word for word, _ in zip(_words(), range(_BERT_VOCABULARY - len(pieces)), strict=False)]
    tokenizer = BertTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)},
        do_lower_case=False,
        model_max_length=512,
    )
    tokenizer.save_pretrained(folder)
    labels = ("positive", "negative", "neutral")
    config = BertConfig(
        vocab_size=_BERT_VOCABULARY,
        id2label=dict(enumerate(labels)),
        label2id=dict(zip(labels, range(3), strict=True)),
    )
    BertForSequenceClassification(config).save_pretrained(folder)


def _write_entities(cache: CacheFixture) -> None:
    source = cache.catalog.model(ENTITIES).source
    assert isinstance(source, SpacySource)
    wheel = small_models().hub / "wheels" / _WHEEL
    path = cache.path(ENTITIES)
    with zipfile.ZipFile(wheel) as content:
        content.extractall(path.parents[1])
    assert (path / "config.cfg").is_file()


def _write_paraphrase(folder: Path) -> None:
    encoder = XLMRobertaModel(_xlmr_config(768, 12, 12, 514))
    encoder.save_pretrained(folder)
    _write_sentence_transformer(folder, 128, 768, "mean", normalize=False)


def _write_embedding(folder: Path) -> None:
    encoder = XLMRobertaModel(_xlmr_config(1024, 24, 16, 8194))
    _save_as_pickle(encoder, folder)
    _write_sentence_transformer(folder, 8192, 1024, "cls", normalize=True)
    for name, out in (("sparse", 1), ("colbert", 1024)):
        layer = torch.nn.Linear(1024, out).half()
        torch.save(dict(layer.state_dict()), folder / f"{name}_linear.pt")


def _xlmr_config(width: int, layers: int, heads: int, positions: int) -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=_XLMR_VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=positions,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )


def _save_as_pickle(encoder: PreTrainedModel, folder: Path) -> None:
    encoder.config.save_pretrained(folder)
    torch.save(encoder.state_dict(), folder / "pytorch_model.bin")


def _write_sentence_transformer(
    folder: Path, limit: int, width: int, pooling: str, *, normalize: bool
) -> None:
    _write_xlmr_tokenizer(folder, max(512, limit))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + [("2_Normalize", "Normalize")] * normalize
    _write_json(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(modules)
        ],
    )
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})
    (folder / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{kind}": kind.startswith(pooling) for kind in ("cls_token", "mean_tokens")}
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **flags})


def _write_xlmr_tokenizer(folder: Path, limit: int) -> None:
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -5.0)]
    vocabulary += [(letter, -12.0) for letter in _LETTERS]
    missing = _XLMR_VOCABULARY - len(vocabulary)
    vocabulary += [(f"▁{word}", -8.0) for word, _ in zip(_words(), range(missing), strict=False)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # the library leaves it untyped
        tokenizer_object=tokenizer,
        **_SPECIAL_TOKENS,
        model_max_length=limit,
    ).save_pretrained(folder)


def _write_json(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document), encoding="utf-8")
