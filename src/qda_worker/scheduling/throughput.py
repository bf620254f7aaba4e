"""How long texts take to compute, as measured of late: what refusals and advice on retrying rest on.

Only batches that were at least half full are measured: a text computed alone says nothing of how many fit beside it.
And the estimate leans to the fast side, so that nothing is refused that would have been done in time.
"""

from collections.abc import Sequence
from typing import Final

from qda_worker.models.base import LengthUnit, LongText, ModelInfo, Options

# More than words of any language here have on the average: what a limit in tokens is at most in characters.
_CHARACTERS_A_TOKEN: Final = 8
_FASTER: Final = 0.5
# How much of a faster, and of a slower measurement goes into the mean.
_SLOWER: Final = 0.05


def text_cost(text: str, options: Options, info: ModelInfo) -> int:
    """How much there is to compute about a text, in characters: known before it is tokenised. What is cut is free."""
    if options.long_text is LongText.WINDOW:
        return max(len(text), 1)
    a_unit = 1 if info.length_unit is LengthUnit.CHARACTERS else _CHARACTERS_A_TOKEN
    return max(min(len(text), info.max_length * a_unit), 1)


class ThroughputEstimator:
    """Seconds for a cost, apart for short and long texts: attention makes the latter dearer by the character.

    Measured by the compute thread, read by any.
    """

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def measure(self, costs: Sequence[float], seconds: float) -> None:
        """Takes in a batch of units of like cost."""
        total = sum(costs)
        if total <= 0:
            return
        kind, sample = _kind(total / len(costs)), seconds / total
        mean = self._means.get(kind)
        if mean is None:
            self._means[kind] = sample
        else:
            self._means[kind] = mean + (sample - mean) * (_FASTER if sample < mean else _SLOWER)

    def seconds(self, costs: Sequence[int]) -> float:
        """How long texts of these costs keep the model busy; what has not been measured yet counts as nothing."""
        means = self._means
        if not means:
            return 0.0
        return sum(cost * means.get(_kind(cost), 0.0) for cost in costs)


def _kind(cost: float) -> int:
    """Texts whose costs differ by less than a factor of 4 are of one kind."""
    return int(cost).bit_length() // 2
