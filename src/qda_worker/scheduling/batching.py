"""Selection of the units that form the next batch: a pure function, tested by its properties.

Padding a batch in arrival order wastes most of a CPU: with mixed lengths only 34 % of the computed cells are useful.
Sorted by length under a token budget it is 80 %, and 2.3 times as fast (measured). So a batch consists of the unit that
is due next and its neighbours in the order of length.

How many neighbours follows from a cost: the computed cells, and for the batch itself `BatchBudget.overhead`. Of all
such batches, the one is taken that costs least for each token that is not padding. Simulated with four calls of 32
texts and a cost of 45 tokens a batch, this is cheaper than batches that are always filled: by 1.0 % at 40 to 70 tokens
(uniform), 2.5 % at 8 to 128 (uniform), and 6.9 % at 8 to 128 (log-normal).

The promise is one-sided: what is added to a batch lowers its cost for each token. A short unit that is due may still be
padded, if long ones that wait make up for it: one of 8 tokens is computed with seven of 128 in a budget of 1,024.
Without it, those would be eight, so that its padding is the price of being due.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from qda_worker.models.base import BatchBudget


def batch_cost(lengths: Sequence[int], budget: BatchBudget) -> int:
    """Return the cost of one batch of units of these lengths: its padded cells, or the sum if nothing is padded."""
    return max(lengths, default=0) * len(lengths) if budget.padded else sum(lengths)


def select_batch(lengths: Sequence[int], budget: BatchBudget) -> list[int]:
    """Return the positions of the units that form the next batch, by ascending length.

    The batch always contains the first unit, so that no unit starves, and no unit is left out whose length lies between
    two others. Within the budget it is the batch with the least cost for each token, see the module. A unit beyond the
    budget forms a batch of its own.

    Args:
        lengths: lengths of the waiting units; the unit that is due next comes first.
        budget: limits of the batch.

    Returns:
        Positions in `lengths`; empty if no unit waits.
    """
    if not lengths:
        return []
    order = sorted(range(len(lengths)), key=lambda position: (lengths[position], position))
    due = order.index(0)
    ordered = [lengths[position] for position in order]
    sums = list(accumulate(ordered, initial=0))

    def cells(first: int, last: int) -> int:
        """Return the cells of the batch order[first : last + 1]."""
        return ordered[last] * (last + 1 - first) if budget.padded else sums[last + 1] - sums[first]

    def cost(first: int, last: int) -> float:
        return (cells(first, last) + budget.overhead) / max(sums[last + 1] - sums[first], 1)

    low, high, least = due, due, math.inf
    for last in _last_positions(ordered, sums, due, budget):

        def fits_and_saves(first: int, last: int = last) -> bool:
            return cells(first, last) <= budget.length and cost(first, last) < cost(first + 1, last)

        # Shorter units are added while that lowers the cost. Once it does not, it never does again: they get shorter.
        lowest = max(0, last + 1 - budget.units)
        first = lowest + bisect_left(range(lowest, due), True, key=fits_and_saves)
        if cost(first, last) < least:
            low, high, least = first, last, cost(first, last)
    return order[low : high + 1]


def _last_positions(
    ordered: Sequence[int], sums: Sequence[int], due: int, budget: BatchBudget
) -> Iterator[int]:
    """Yield the positions at which a batch may end, by ascending length.

    If units are padded, only the last one of equal length that fits can be best: each of them adds no padding.
    """
    last, end = due, min(len(ordered), due + budget.units)
    while last < end:
        if not budget.padded:
            if last > due and sums[last + 1] - sums[due] > budget.length:
                return  # a longer unit does not fit either
            yield last
            last += 1
            continue
        fitting = max(1, budget.length // max(ordered[last], 1))
        after = bisect_right(ordered, ordered[last], last, end)
        if min(after, due + fitting) <= last:
            return
        yield min(after, due + fitting) - 1
        last = after
