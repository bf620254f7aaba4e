"""The interface of the engines, and the encoder that calls them.

A transformer consists of embeddings, encoder layers and heads. The layers take nearly all of the time, so only they are
computed by an engine; everything else stays the library's own code, with the model's own files. `EngineEncoder` takes
the place of the `encoder` module in the loaded network. The models therefore do not know which engine computes them.

Every engine gives the numbers of fp32 torch within TOLERANCE. Which one computes a batch follows from its size, because
the fastest engine for one short text is often not the fastest for a full batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

import torch
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from qda_worker.models.batch_budget import LONG_TOKENS

# Maximum difference of an engine's hidden states from those of fp32 torch, relative to their root mean square. Seen
# with 12 layers: 6e-6.
TOLERANCE: Final = 5e-5


class EngineName(StrEnum):
    """An engine."""

    TORCH = "torch"
    OPENVINO = "openvino"
    CUDA = "cuda"
    CUDA_TF32 = "cuda-tf32"


class EncoderEngine(Protocol):
    """Computes the encoder layers of one network, in the compute thread of its model."""

    @property
    def name(self) -> EngineName:
        """Name of the engine."""

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the states after the last layer. It may be called again from a pause point.

        All tensors are on the device of the network.

        Args:
            states: the embeddings, float32 [batch, tokens, width].
            mask: bool [batch, 1, tokens, tokens], False where a token must not be read; None: all are read.

        Returns:
            float32 [batch, tokens, width].
        """

    def close(self) -> None:
        """Release the engine's memory. A second call does nothing."""


class EngineUnavailable(Exception):
    """An engine cannot compute this network here; the message says why."""


class TorchEngine:
    """The layers as transformers computes them."""

    name: Final = EngineName.TORCH

    def __init__(self, encoder: torch.nn.Module) -> None:
        self._encoder = encoder

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the states after the last layer, as `EncoderEngine.forward`."""
        output: torch.Tensor = self._encoder(states, attention_mask=mask).last_hidden_state
        return output

    def close(self) -> None:
        """Do nothing: the weights belong to the network."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine computes which batches.

    Attributes:
        single: for one short text.
        batch: for batches of more than `single_tokens`.
        long: for texts of more than `long_tokens`, whose layers take seconds.
        single_tokens: padded tokens of the largest batch for `single`.
        long_tokens: tokens of the longest text that `single` and `batch` compute.
    """

    single: EncoderEngine
    batch: EncoderEngine
    long: EncoderEngine
    single_tokens: int = 128
    long_tokens: int = LONG_TOKENS

    @property
    def names(self) -> tuple[EngineName, ...]:
        """Names of the engines for one short text and for batches; one name if they are the same."""
        return tuple(dict.fromkeys((self.single.name, self.batch.name)))

    def engine_for(self, texts: int, tokens: int) -> EncoderEngine:
        """Return the engine for a batch of `texts` that are padded to `tokens`."""
        if tokens > self.long_tokens:
            return self.long
        return self.single if texts * tokens <= self.single_tokens else self.batch


class EngineEncoder(torch.nn.Module):
    """Takes the place of the `encoder` of a network of transformers."""

    def __init__(self, choose: Callable[[int, int], EncoderEngine]) -> None:
        """Wrap engines.

        Args:
            choose: returns the engine for a number of texts and the number of tokens to which they are padded.
        """
        super().__init__()
        self._choose = choose

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_options: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Compute all layers. The options of the library concern decoders and caches, which encoders do not have."""
        texts, tokens, _ = hidden_states.shape
        states: Any = self._choose(texts, tokens).forward(hidden_states, attention_mask)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states)
