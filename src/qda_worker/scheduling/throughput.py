"""Estimate how long texts take to compute. Admission bases refusals and retry advice on these estimates.

The compute thread reports each batch; any thread reads estimates. Refused calls run no batch, so an estimate that is
too high would never be corrected by what it refuses. Therefore every doubt makes the estimate lower:

- The time of a batch that was less than half full does not tell how many texts fit beside it. Such a batch counts only
  if it was faster than the estimate: a full one would be at least as fast. A fourth is enough if other units waited.
- The first estimate needs two batches and uses the faster one, because the first batch of a kind reads cold pages.
- The moving average follows a faster sample quickly and a slower one slowly.
- Without samples of its length class an estimate is halved every `HALF_LIFE_SECONDS`. A sample between the decayed and
  the former value replaces it.

`AdmissionControl` does the rest: a call that finds the queue empty is always admitted.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qda_worker.models.base import LengthUnit, LongText, ModelInfo, Options

# Seconds without a sample after which an estimate is halved. Well above the duration of most batches, and short enough
# that a slow spell of a minute is forgotten soon.
HALF_LIFE_SECONDS: Final = 15.0

# Upper bound of the average characters per token in any supported language. Converts a token limit to characters.
_CHARACTERS_PER_TOKEN: Final = 8
# Weights of a new sample in the moving average, if it is faster or slower than the average.
_FASTER_WEIGHT: Final = 0.5
_SLOWER_WEIGHT: Final = 0.05


def text_cost(text: str, options: Options, info: ModelInfo) -> int:
    """Return the estimated cost of a text, in characters, at least 1.

    The estimate is needed before the text is tokenized. The part that the model will not read costs nothing.
    """
    if options.long_text is LongText.WINDOW:
        return max(len(text), 1)
    characters_per_unit = 1 if info.length_unit is LengthUnit.CHARACTERS else _CHARACTERS_PER_TOKEN
    return max(min(len(text), info.max_length * characters_per_unit), 1)


def length_class(cost: float) -> int:
    """Return the class of a cost: costs within one power of 4 share a class."""
    return int(cost).bit_length() // 2


def sum_by_class(costs: Iterable[int]) -> dict[int, int]:
    """Return the summed costs of each length class."""
    sums: dict[int, int] = {}
    for cost in costs:
        key = length_class(cost)
        sums[key] = sums.get(key, 0) + cost
    return sums


@dataclass(frozen=True, slots=True)
class _Mean:
    """The estimate for one length class.

    Attributes:
        seconds: seconds per unit of cost; of the first sample alone if not `confirmed`.
        updated: time of the last sample.
        confirmed: whether there were two samples.
    """

    seconds: float
    updated: float
    confirmed: bool

    def decayed(self, now: float) -> float:
        """Return the estimate at a time; 0 before it is confirmed."""
        if not self.confirmed:
            return 0.0
        age: float = max(0.0, now - self.updated)
        return self.seconds * float(2.0 ** (-age / HALF_LIFE_SECONDS))


class ThroughputEstimator:
    """Moving average of the seconds per unit of cost, kept separately for each length class.

    The classes are separate because the cost of attention per character grows with the length. No lock is needed: one
    thread writes, and replacing a value in a dict is atomic.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._means: dict[int, _Mean] = {}

    @property
    def recent(self) -> bool:
        """Whether there is an estimate with a sample of the last `HALF_LIFE_SECONDS`."""
        oldest = self._clock() - HALF_LIFE_SECONDS
        return any(mean.confirmed and mean.updated >= oldest for mean in tuple(self._means.values()))

    def record_batch(self, costs: Sequence[float], seconds: float, *, full: bool = True) -> None:
        """Update the average with one computed batch.

        Args:
            costs: cost of each unit.
            seconds: duration of the batch.
            full: whether it tells how fast full batches are.
        """
        total = sum(costs)
        if total <= 0:
            return
        sample, now = seconds / total, self._clock()
        for key in {length_class(cost) for cost in costs}:
            self._update(key, sample, now, full=full)

    def _update(self, key: int, sample: float, now: float, *, full: bool) -> None:
        mean = self._means.get(key)
        if mean is None:
            if full:
                self._means[key] = _Mean(sample, now, confirmed=False)
            return
        if not full and sample >= (mean.decayed(now) if mean.confirmed else mean.seconds):
            return
        self._means[key] = _Mean(_updated(mean, sample, now), now, confirmed=True)

    def estimate_seconds(self, costs: Mapping[int, int]) -> float:
        """Return how long texts occupy the model; a length class without an estimate counts as 0.

        Args:
            costs: the summed costs of each length class, see `sum_by_class`.
        """
        means, now = self._means, self._clock()
        return sum(cost * means[key].decayed(now) for key, cost in costs.items() if key in means)


def _updated(mean: _Mean, sample: float, now: float) -> float:
    if not mean.confirmed:
        return min(mean.seconds, sample)
    decayed = mean.decayed(now)
    if sample < decayed:
        return decayed + (sample - decayed) * _FASTER_WEIGHT
    if sample > mean.seconds:
        return mean.seconds + (sample - mean.seconds) * _SLOWER_WEIGHT
    return sample
