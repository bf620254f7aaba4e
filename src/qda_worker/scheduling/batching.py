"""Which units make the next batch: pure, so that its promises can be stated and tested.

Padding in arrival order wastes most of a CPU: with mixed lengths 34 % of the computed cells are useful; sorted by
length under a token budget it is 80 %, and 2.3 times as fast. So a batch is the oldest unit and those nearest to it in
length.
"""

from collections.abc import Sequence

from qda_worker.models.base import BatchBudget


def batch_cost(lengths: Sequence[int], budget: BatchBudget) -> int:
    """What units of these lengths cost in one batch: its padded cells, or the sum where nothing is padded."""
    return max(lengths, default=0) * len(lengths) if budget.padded else sum(lengths)


def cut_batch(lengths: Sequence[int], budget: BatchBudget) -> list[int]:
    """Positions of the units that make one batch, by rising length; empty if nothing waits.

    lengths: of the waiting units, the one that must not wait any longer first: it is always in the batch, so nothing
    starves. The others are its neighbours in the order of length, the nearest first, while the budget allows. A unit
    beyond the budget makes a batch of its own.
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
            last = high  # what is longer does not fit either; something shorter may
            continue
        low, high = (low - 1, high) if shorter else (low, high + 1)
        total += lengths[new]
    return order[low : high + 1]
