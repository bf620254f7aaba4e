"""Selection of the units that form the next batch: a pure function, tested by its properties.

Padding a batch in arrival order wastes most of a CPU: with mixed lengths only 34 % of the computed cells are useful.
Sorted by length under a token budget it is 80 %, and 2.3 times as fast (measured). So a batch consists of the unit that
is due next and the units nearest to it in length.
"""

from collections.abc import Sequence

from qda_worker.models.base import BatchBudget


def batch_cost(lengths: Sequence[int], budget: BatchBudget) -> int:
    """Return the cost of one batch of units of these lengths: its padded cells, or the sum if nothing is padded."""
    return max(lengths, default=0) * len(lengths) if budget.padded else sum(lengths)


def select_batch(lengths: Sequence[int], budget: BatchBudget) -> list[int]:
    """Return the positions of the units that form the next batch, by ascending length.

    The batch always contains the first unit, so that no unit starves. It grows by the neighbours in the order of
    length, the nearest first, while the budget allows. A unit beyond the budget forms a batch of its own.

    Args:
        lengths: lengths of the waiting units; the unit that is due next comes first.
        budget: limits of the batch.

    Returns:
        Positions in `lengths`; empty if no unit waits.
    """
    if not lengths:
        return []
    order = sorted(range(len(lengths)), key=lambda position: (lengths[position], position))
    low = high = order.index(0)  # the batch is order[low : high + 1]
    last = len(order) - 1
    total = lengths[0]
    while high - low + 1 < budget.units:
        below = lengths[order[low]] - lengths[order[low - 1]] if low > 0 else None
        above = lengths[order[high + 1]] - lengths[order[high]] if high < last else None
        if below is None and above is None:
            break
        shorter = above is None or (below is not None and below <= above)
        new = order[low - 1] if shorter else order[high + 1]
        longest = lengths[order[high] if shorter else new]
        cost = longest * (high - low + 2) if budget.padded else total + lengths[new]
        if cost > budget.length:
            if shorter:
                break
            last = high  # longer units do not fit either; a shorter one may
            continue
        low, high = (low - 1, high) if shorter else (low, high + 1)
        total += lengths[new]
    return order[low : high + 1]
