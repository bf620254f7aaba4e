"""Corrects the expected time of admitted work by the time that it took.

The expected time of a call is the backlog divided by the measured throughput. It leaves out what is hard to predict:
that many batches are chosen by length and not in the order of arrival, the padding of a batch, other models on the same
CPUs, callers that arrive later and get their share, and the time of the answer itself. All of that together is measured
as one factor, from the calls for which it matters: those that had little more time than they were expected to need.

The factor follows a call that took longer than expected quickly, and one that took less slowly, so that about nine of
ten calls take no longer than corrected. What delays all waiting calls at once, such as a process that is started again,
counts once. Without such calls it returns to 1.

Nothing here locks: `AdmissionControl` guards it with the queue's lock.
"""

import math
from collections.abc import Callable
from typing import Final

# Half-life of the difference from 1, in seconds.
_HALF_LIFE_SECONDS: Final = 30.0
# Least seconds between two increases of the factor.
_INCREASE_INTERVAL_SECONDS: Final = 0.5
# Weights of a call that took longer, and of one that took less, than corrected.
_LONGER_WEIGHT: Final = 0.3
_SHORTER_WEIGHT: Final = 0.01
# Calls count if they were expected to need at least this share of their time.
_CLOSE_SHARE: Final = 0.5
# Limits of the factor: a queue must neither grow without end nor refuse everything by mistake.
_MIN_FACTOR: Final = 0.5
_MAX_FACTOR: Final = 4.0


class EstimateCorrection:
    """A factor for the expected time of work. It begins with 1."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Create the correction.

        Args:
            clock: monotonic seconds.
        """
        self._clock = clock
        self._factor = 1.0
        self._updated = clock()
        self._increased = -math.inf

    @property
    def factor(self) -> float:
        """How many times as long as expected work takes."""
        age: float = max(0.0, self._clock() - self._updated)
        weight: float = 2.0 ** (-age / _HALF_LIFE_SECONDS)
        return 1.0 + (self._factor - 1.0) * weight

    def record(self, expected: float, elapsed: float, allowed: float, *, late: bool) -> None:
        """Learn from a call that has ended.

        Args:
            expected: seconds that it was expected to take when it was admitted, without a correction; above 0.
            elapsed: seconds that it took, or at least took if it is late.
            allowed: seconds from its arrival to its deadline.
            late: whether it missed its deadline.
        """
        factor = self.factor
        if not late and expected * factor < allowed * _CLOSE_SHARE:
            return
        seen = min(max(elapsed / expected, _MIN_FACTOR), _MAX_FACTOR)
        now = self._clock()
        if seen > factor:
            if now - self._increased < _INCREASE_INTERVAL_SECONDS:
                return
            self._increased = now
        weight = _LONGER_WEIGHT if seen > factor else _SHORTER_WEIGHT
        self._factor = factor + (seen - factor) * weight
        self._updated = now
