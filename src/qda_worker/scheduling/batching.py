"""Selection of the units that form the next batch: a pure function, tested by its properties.

Padding a batch in arrival order wastes most of a CPU: with mixed lengths only 34 % of the computed cells are useful.
Sorted by length under a token budget it is 80 %, and 2.3 times as fast (measured). So a batch consists of the unit that
is due next and its neighbours in the order of length.

How many neighbours follows from a cost: that of `BatchBudget.cost`, which may contain padding, and for the batch itself
`BatchBudget.overhead`. Of all such batches, the one is taken that costs least for each token that is not padding. If
padding costs as much as tokens, simulated with four calls of 32 texts and a cost of 45 tokens a batch, this is cheaper
than batches that are always filled: by 1.0 % at 40 to 70 tokens (uniform), 2.5 % at 8 to 128 (uniform), and 6.9 % at 8
to 128 (log-normal). If padding costs little, batches are mostly full.

The promise is one-sided: what is added to a batch lowers its cost for each token. A short unit that is due may still be
padded, if long ones that wait make up for it: one of 8 tokens is computed with seven of 128 in a budget of 1,024.
Without it, those would be eight, so that its padding is the price of being due.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from qda_worker.models.batch_budget import BatchBudget


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

    def batch_cost(first: int, last: int) -> float:
        """Return the cost of the batch order[first : last + 1]."""
        return budget.cost_of(sums[last + 1] - sums[first], ordered[last], last + 1 - first)

    def cost_per_token(first: int, last: int) -> float:
        return (batch_cost(first, last) + budget.overhead) / max(sums[last + 1] - sums[first], 1)

    low, high, least = due, due, math.inf
    for last in _last_positions(ordered, due, budget, batch_cost):

        def fits_and_saves(first: int, last: int = last) -> bool:
            fits = batch_cost(first, last) <= budget.length
            return fits and cost_per_token(first, last) < cost_per_token(first + 1, last)

        # Shorter units are added while that lowers the cost. Once it does not, it never does again: they get shorter.
        lowest = max(0, last + 1 - budget.units)
        first = lowest + bisect_left(range(lowest, due), True, key=fits_and_saves)
        if (cost := cost_per_token(first, last)) < least:
            low, high, least = first, last, cost
    return order[low : high + 1]


def _last_positions(
    ordered: Sequence[int], due: int, budget: BatchBudget, batch_cost: Callable[[int, int], float]
) -> Iterator[int]:
    """Yield the positions at which a batch may end, by ascending length.

    If a place of padding costs as much as a token, of units of equal length only the last one that fits can be best:
    shorter ones in its place would cost as much. Otherwise they may make better use of the budget.
    """
    last, end = due, min(len(ordered), due + budget.units)
    while last < end:
        after = bisect_right(ordered, ordered[last], last, end)
        fitting = bisect_right(
            range(last, after), False, key=lambda position: batch_cost(due, position) > budget.length
        )
        if last == due:
            fitting = max(1, fitting)  # a unit beyond the budget is a batch of its own
        if not fitting:
            return  # a longer unit does not fit either
        yield from range(last + (fitting - 1 if budget.padding >= 1 else 0), last + fitting)
        last = after
