"""Estimates how long texts take to compute. Admission bases refusals and retry advice on these estimates.

The compute thread reports each batch; any thread reads estimates. Two rules keep the estimate from refusing work that
could be done in time:

- Only batches that were at least half full are reported: the time of a text computed alone does not tell how many
  texts fit beside it.
- The moving average follows a faster sample quickly and a slower one slowly.
"""

from collections.abc import Sequence
from typing import Final

from qda_worker.models.base import LengthUnit, LongText, ModelInfo, Options

# Upper bound of the average characters per token in any supported language. Converts a token limit to characters.
_CHARACTERS_PER_TOKEN: Final = 8
# Weights of a new sample in the moving average, if it is faster or slower than the average.
_FASTER_WEIGHT: Final = 0.5
_SLOWER_WEIGHT: Final = 0.05


def text_cost(text: str, options: Options, info: ModelInfo) -> int:
    """Return the estimated cost of a text, in characters, at least 1.

    The estimate is needed before the text is tokenised. The part that the model will not read costs nothing.
    """
    if options.long_text is LongText.WINDOW:
        return max(len(text), 1)
    characters_per_unit = 1 if info.length_unit is LengthUnit.CHARACTERS else _CHARACTERS_PER_TOKEN
    return max(min(len(text), info.max_length * characters_per_unit), 1)


class ThroughputEstimator:
    """Moving average of the seconds per unit of cost, kept separately for each length class.

    The classes are separate because the cost of attention per character grows with the length. No lock is needed: one
    thread writes, and replacing a value in a dict is atomic.
    """

    def __init__(self) -> None:
        self._means: dict[int, float] = {}  # seconds per unit of cost, by length class

    def record_batch(self, costs: Sequence[float], seconds: float) -> None:
        """Update the average with one computed batch.

        Args:
            costs: cost of each unit; all of about the same size, as `select_batch` makes them.
            seconds: duration of the batch.
        """
        total = sum(costs)
        if total <= 0:
            return
        length_class, sample = _length_class(total / len(costs)), seconds / total
        mean = self._means.get(length_class)
        if mean is None:
            self._means[length_class] = sample
        else:
            weight = _FASTER_WEIGHT if sample < mean else _SLOWER_WEIGHT
            self._means[length_class] = mean + (sample - mean) * weight

    def estimate_seconds(self, costs: Sequence[int]) -> float:
        """Return how long texts of these costs occupy the model; a length class without samples counts as 0."""
        means = self._means
        if not means:
            return 0.0
        return sum(cost * means.get(_length_class(cost), 0.0) for cost in costs)


def _length_class(cost: float) -> int:
    """Return the class of a cost: costs within one power of 4 share a class."""
    return int(cost).bit_length() // 2
