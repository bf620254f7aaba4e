"""The small XLM-RoBERTa of the embedding and the paraphrase model, and the loss that both are trained with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

from tests.support.small_models.sentencepieces import BOS, EOS, PAD, UNK
from tests.support.small_models.training import init_mean_attention

_CORRUPTED_SHARE: Final = (
    0.08  # share of pieces that are replaced by the unknown token, so that no single one decides
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch after the encoder: piece ids and mask [texts, pieces], last hidden states [texts, pieces, width]."""

    ids: torch.Tensor
    mask: torch.Tensor
    hidden: torch.Tensor

    def first(self, count: int) -> "Encoded":
        return Encoded(self.ids[:count], self.mask[:count], self.hidden[:count])


def encoder_config(vocabulary: int, *, width: int, layers: int, positions: int) -> dict[str, Any]:
    """Return the config.json of the real models with smaller sizes."""
    return {
        "architectures": ["XLMRobertaModel"],
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": BOS,
        "classifier_dropout": None,
        "eos_token_id": EOS,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": width,
        "initializer_range": 0.02,
        "intermediate_size": width,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": positions,
        "model_type": "xlm-roberta",
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
        "output_past": True,
        "pad_token_id": PAD,
        "position_embedding_type": "absolute",
        "type_vocab_size": 1,
        "use_cache": True,
        "vocab_size": vocabulary,
    }


def new_encoder(config: dict[str, Any]) -> XLMRobertaModel:
    """Return an untrained model; position embeddings are near zero, because late positions are not trained."""
    model = XLMRobertaModel(XLMRobertaConfig(**config))
    with torch.no_grad():
        model.embeddings.position_embeddings.weight.mul_(0.05)
    init_mean_attention(model.encoder.layer)
    return model


def encode(
    model: XLMRobertaModel, tokenizer: XLMRobertaTokenizer, texts: Sequence[str], *, corrupt: bool = False
) -> Encoded:
    """Run the texts through the model, padded to the longest; `corrupt` replaces some pieces by the unknown token."""
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=128, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    if corrupt:
        ids = ids.masked_fill((torch.rand(ids.shape) < _CORRUPTED_SHARE) & (ids > UNK), UNK)
    return Encoded(ids, mask, model(input_ids=ids, attention_mask=mask).last_hidden_state)


def contrastive_loss(similarities: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the InfoNCE loss in both directions.

    Args:
        similarities: similarities over temperature [queries, candidates]; the pairs are on the diagonal.
        mask: added to them; see `pairs.paraphrase_mask`.
    """
    right = torch.arange(len(similarities))
    loss = torch.nn.functional.cross_entropy
    return (loss(similarities + mask, right) + loss((similarities + mask).T, right)) / 2


def recall_at_1(queries: torch.Tensor, candidates: torch.Tensor) -> float:
    """Return the share of queries whose nearest candidate is that of the same row. Rows have unit length."""
    nearest = (queries @ candidates.T).argmax(dim=1)
    return (nearest == torch.arange(len(queries))).double().mean().item()
