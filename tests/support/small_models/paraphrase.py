"""The small paraphrase model: XLM-RoBERTa, mean pooling, no normalization, 128 tokens, safetensors."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from tests.support.small_models.decoys import write_decoys
from tests.support.small_models.encoder import (
    Encoded,
    contrastive_loss,
    encode,
    encoder_config,
    new_encoder,
    recall_at_1,
)
from tests.support.small_models.pairs import Pair, pair_batches, paraphrase_mask
from tests.support.small_models.sentence_transformer_files import write_sentence_transformer_files
from tests.support.small_models.sentencepieces import train_tokenizer
from tests.support.small_models.statements import load_corpus
from tests.support.small_models.training import make_deterministic, train, write_json, write_safetensors

WIDTH: Final = 128
MAX_TOKENS: Final = 128

_LAYERS: Final = 2
_EPOCHS: Final = 5
_BATCH: Final = 96
_TEMPERATURE: Final = 0.05


def build(folder: Path, seed: int) -> dict[str, float]:
    """Train, write the repository's files into `folder`, return recall@1 of held-out paraphrases."""
    make_deterministic(seed)
    rng = random.Random(seed)
    corpus = load_corpus(seed)
    texts = [statement.text for group in corpus.train for statement in group]
    tokenizer = train_tokenizer(texts, folder, max_length=512)
    config = encoder_config(len(tokenizer), width=WIDTH, layers=_LAYERS, positions=514)
    model = new_encoder(config)

    def embed(texts: Sequence[str], *, corrupt: bool = False) -> torch.Tensor:
        return torch.nn.functional.normalize(_mean(encode(model, tokenizer, texts, corrupt=corrupt)), dim=1)

    def loss_of(batch: list[Pair]) -> torch.Tensor:
        left = embed([pair.first for pair in batch], corrupt=True)
        right = embed([pair.second for pair in batch], corrupt=True)
        return contrastive_loss(left @ right.T / _TEMPERATURE, paraphrase_mask(batch))

    # Without dropout, which takes a third of the time: the unknown pieces already prevent overfitting.
    model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it without types
    batches = pair_batches(corpus.train, epochs=_EPOCHS, size=_BATCH, rng=rng)
    train(model.parameters(), batches, loss_of, learning_rate=2e-3)
    pairs = [(group[0].text, group[1].text) for group in corpus.held_out if len(group) > 1]
    with torch.inference_mode():
        queries, candidates = (embed(side) for side in zip(*pairs, strict=True))
    write_safetensors(model, folder / "model.safetensors")
    write_json(folder / "config.json", config)
    write_sentence_transformer_files(folder, WIDTH, pooling="mean", max_tokens=MAX_TOKENS, normalize=False)
    decoys = ("pytorch_model.bin", "tf_model.h5", "openvino/openvino_model.bin", "onnx/model.onnx")
    write_decoys(folder, decoys, "small paraphrase model")
    return {"recall_at_1": recall_at_1(queries, candidates)}


def _mean(encoded: Encoded) -> torch.Tensor:
    mask = encoded.mask.unsqueeze(-1)
    return (encoded.hidden * mask).sum(dim=1) / mask.sum(dim=1)
