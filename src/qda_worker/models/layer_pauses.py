"""Pause points between the layers of a transformer, so that one long text does not occupy its thread for minutes.

One pass over 8,192 tokens of a model like bge-m3 takes about 100 seconds on two cores. `add_pause_points` puts a pause
point before every linear layer; there are six to a layer of BERT and XLM-R, and between two of them at most half a
second at that length. Attention grows with the square of the length: it is computed for some heads at a time, with a
pause point before each group. Heads do not depend on each other, so the numbers are the same to the last bit.

The hooks run in the compute thread and see no tensor.
"""

from typing import Any, Final

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from qda_worker.models.pauses import pause_point

# Attention scores computed between two pause points: two heads at 8,192 tokens, some 0.3 seconds on two cores.
MAX_SCORES: Final = 2**27

# The implementation that transformers chooses by default. It is replaced for the whole process.
_SDPA: Final = "sdpa"


def add_pause_points(network: torch.nn.Module) -> None:
    """Add pause points to a network, once, before it is used. Modules that are no transformers models are skipped."""
    if not isinstance(network, PreTrainedModel):
        return
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(_pause)
    AttentionInterface.register(_SDPA, attention_by_heads)


def attention_by_heads(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    max_scores: int = MAX_SCORES,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention as transformers' `sdpa` does, with pause points if it is long.

    Args:
        module: the attention layer.
        query: [batch, heads, tokens, width].
        key: [batch, heads, tokens, width]; with fewer heads than `query`, attention is computed at once.
        value: as `key`.
        attention_mask: [batch, 1 or heads, tokens, tokens], or None.
        max_scores: attention scores computed between two pause points; one head at least.
        options: passed on.

    Returns:
        [batch, tokens, heads, width], and no weights.
    """
    heads = query.shape[1]
    scores = query.shape[0] * query.shape[2] * key.shape[2]
    step = max(1, max_scores // max(1, scores))
    if step >= heads or key.shape[1] != heads or query.device.type != "cpu":
        whole: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return whole
    parts = []
    for start in range(0, heads, step):
        pause_point()
        of_group = slice(start, start + step)
        mask = attention_mask
        if mask is not None and mask.shape[1] == heads:
            mask = mask[:, of_group]
        part, _ = sdpa_attention_forward(
            module, query[:, of_group], key[:, of_group], value[:, of_group], mask, **options
        )
        parts.append(part)
    return torch.cat(parts, dim=2), None


def _pause(_module: torch.nn.Module, _arguments: Any) -> None:
    pause_point()
