"""How large the batches of a model may be, and what they cost.

The unit of cost is a token: the time that a model takes for one more token in a large batch (a character for models
that count characters). Padding costs as much if it is computed like tokens. OpenVINO computes it in attention only,
where a place of a batch with the length L costs L / (6 * width) of a token: 4 * L * width operations, against 24 *
width**2 in the products of a layer. That is 0.01 at 55 tokens with the shape of XLM-R base, and 0.11 at 512.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

# What a place of padding costs if only attention computes it: the value at 460 tokens, and less for most texts.
PADDING_IN_ATTENTION: Final = 0.1
# Tokens of the longest texts that OpenVINO computes in fp32; torch computes longer ones, because it can pause in them.
LONG_TOKENS: Final = 1024


@dataclass(frozen=True, slots=True)
class BatchBudget:
    """Upper limits of one batch. A single unit beyond them forms a batch of its own.

    Attributes:
        length: limit of the cost of a batch, see `cost`.
        units: maximum number of units, however short they are.
        padding: what one place of padding costs, in tokens: 1 if the model pads every unit of a batch to the longest
            one and computes it like a token, 0 if it pads none.
        padded_beyond: length beyond which padding costs as much as tokens all the same, because in fp32 another engine
            computes such units; None: there is none.
        overhead: what a batch costs beside that, in tokens. Of XLM-R base on two cores, reading the weights from memory
            takes as long as 6 to 20 tokens (25 with torch), and OpenVINO prepares kernels for numbers of tokens that
            are new to it, in the time of 9 to 70.
        coarse_pauses: whether a batch has few pause points, so that interactive texts wait for long parts of it.
    """

    length: int
    units: int
    padding: float = 1.0
    padded_beyond: int | None = None
    overhead: int = 45
    coarse_pauses: bool = False

    def cost(self, lengths: Sequence[int]) -> float:
        """Return the cost of a batch of units of these lengths, without `overhead`."""
        return self.cost_of(sum(lengths), max(lengths, default=0), len(lengths))

    def cost_of(self, tokens: int, longest: int, units: int) -> float:
        """Return the cost of a batch by its summed and its greatest length, and its number of units."""
        padded = self.padded_beyond is not None and longest > self.padded_beyond
        return tokens + (1.0 if padded else self.padding) * (longest * units - tokens)

    def with_length(self, length: int | None) -> "BatchBudget":
        """Return a budget of another length, with the units in proportion; None: this one."""
        if length is None or length == self.length:
            return self
        return replace(self, length=length, units=max(1, self.units * length // self.length))
