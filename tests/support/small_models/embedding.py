"""The small embedding model: the files of bge-m3 and its three heads, trained together as in the BGE M3 paper.

Dense: the state of the first token. Sparse: a weight for each piece; the similarity is the sum of the products of the
weights in both texts. Multi-vector: the mean over the query's pieces of the similarity to the nearest passage piece.
"""

import random
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
from tests.support.small_models.sentencepieces import UNK, train_tokenizer
from tests.support.small_models.statements import load_corpus
from tests.support.small_models.training import make_deterministic, train, write_json

WIDTH: Final = 128
MAX_TOKENS: Final = 8192

_LAYERS: Final = 2
_EPOCHS: Final = 5
_BATCH: Final = 96
_TEMPERATURE: Final = 0.05
_SMALL_BATCH: Final = (
    24  # pairs of a batch for the sparse and the multi-vector loss; the latter's cost is quadratic
)
_SHARE_OF_OTHERS: Final = 0.2
_normalize = torch.nn.functional.normalize


class Heads(torch.nn.Module):
    """The two linear layers beside the encoder, and the three similarities [queries, passages]."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.sparse = torch.nn.Linear(WIDTH, 1)
        self.colbert = torch.nn.Linear(WIDTH, WIDTH)

    def dense(self, texts: Encoded) -> torch.Tensor:
        return _normalize(texts.hidden[:, 0], dim=1)

    def weights(self, texts: Encoded) -> torch.Tensor:
        """Return the greatest weight of each piece [texts, vocabulary]; 0 for special tokens."""
        each = torch.relu(self.sparse(texts.hidden)).squeeze(-1) * (texts.ids > UNK)
        return torch.zeros(len(each), self.vocabulary).scatter_reduce(1, texts.ids, each, reduce="amax")

    def vectors(self, texts: Encoded) -> torch.Tensor:
        """Return the vectors of all tokens but the first [texts, pieces, WIDTH], of unit length; padding is zero."""
        return _normalize(self.colbert(texts.hidden[:, 1:]), dim=-1) * texts.mask[:, 1:, None]

    def similarities(self, queries: Encoded, passages: Encoded) -> dict[str, torch.Tensor]:
        left, right = self.vectors(queries), self.vectors(passages)
        nearest = torch.einsum("aid,bjd->abij", left, right).amax(dim=3).sum(dim=2)
        return {
            "dense": self.dense(queries) @ self.dense(passages).T,
            "sparse": self.weights(queries) @ self.weights(passages).T,
            "colbert": nearest / queries.mask[:, 1:].sum(dim=1, keepdim=True),
        }


def build(folder: Path, seed: int) -> dict[str, float]:
    """Train, write the repository's files into `folder`, return recall@1 on held-out pairs for each head."""
    make_deterministic(seed)
    rng = random.Random(seed)
    corpus = load_corpus(seed)
    texts = [statement.text for group in corpus.train for statement in group]
    tokenizer = train_tokenizer(texts, folder, max_length=MAX_TOKENS)
    config = encoder_config(len(tokenizer), width=WIDTH, layers=_LAYERS, positions=MAX_TOKENS + 2)
    model, heads = new_encoder(config), Heads(len(tokenizer))

    def loss_of(batch: list[Pair]) -> torch.Tensor:
        queries = encode(model, tokenizer, [pair.first for pair in batch], corrupt=True)
        passages = encode(model, tokenizer, [pair.second for pair in batch], corrupt=True)
        dense = heads.dense(queries) @ heads.dense(passages).T
        few = heads.similarities(queries.first(_SMALL_BATCH), passages.first(_SMALL_BATCH))
        few_mask = paraphrase_mask(batch[:_SMALL_BATCH])
        others = [contrastive_loss(few[name] / _TEMPERATURE, few_mask) for name in ("sparse", "colbert")]
        return contrastive_loss(dense / _TEMPERATURE, paraphrase_mask(batch)) + _SHARE_OF_OTHERS * sum(others)

    # Without dropout, which takes a third of the time: the unknown pieces already prevent overfitting.
    model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it without types
    batches = pair_batches(corpus.train, epochs=_EPOCHS, size=_BATCH, rng=rng)
    train([*model.parameters(), *heads.parameters()], batches, loss_of, learning_rate=2e-3)
    pairs = [(group[0].text, group[1].text) for group in corpus.held_out if len(group) > 1]
    with torch.inference_mode():
        scores = _recalls(heads, *(encode(model, tokenizer, side) for side in zip(*pairs, strict=True)))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    for name, head in (("sparse", heads.sparse), ("colbert", heads.colbert)):
        torch.save(
            {key: value.half() for key, value in head.state_dict().items()}, folder / f"{name}_linear.pt"
        )
    write_json(folder / "config.json", config)
    write_sentence_transformer_files(folder, WIDTH, pooling="cls", max_tokens=MAX_TOKENS, normalize=True)
    decoys = ("onnx/model.onnx", "onnx/model.onnx_data", "imgs/miracl.jpg", "long.jpg")
    write_decoys(folder, decoys, "small embedding model")
    return scores


def _recalls(heads: Heads, queries: Encoded, passages: Encoded) -> dict[str, float]:
    right = torch.arange(len(queries.ids))
    parts = heads.similarities(queries, passages)
    by_head = {
        f"recall_at_1_{name}": (part.argmax(dim=1) == right).double().mean().item()
        for name, part in parts.items()
    }
    return {"recall_at_1": recall_at_1(heads.dense(queries), heads.dense(passages)), **by_head}
