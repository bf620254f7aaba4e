"""Properties of batch selection, for any lengths and any budget."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.batch_budget import BatchBudget
from qda_worker.scheduling.batching import select_batch

LENGTHS: Final = st.lists(st.integers(1, 600), max_size=60)
BUDGETS: Final = st.builds(
    BatchBudget,
    length=st.integers(1, 2000),
    units=st.integers(1, 32),
    padding=st.sampled_from([0.0, 0.1, 1.0]),
    padded_beyond=st.sampled_from([None, 300]),
    overhead=st.integers(0, 90),
)


@given(LENGTHS, BUDGETS)
def test_a_batch_stays_within_its_budget_unless_it_is_a_single_unit(
    lengths: list[int], budget: BatchBudget
) -> None:
    batch = [lengths[position] for position in select_batch(lengths, budget)]
    assert len(batch) <= budget.units
    assert len(batch) <= 1 or budget.cost(batch) <= budget.length


@given(LENGTHS.filter(bool), BUDGETS)
def test_the_unit_that_is_due_next_is_in_the_batch(lengths: list[int], budget: BatchBudget) -> None:
    assert 0 in select_batch(lengths, budget)


@given(LENGTHS, BUDGETS)
def test_selecting_until_nothing_waits_takes_every_unit_once(lengths: list[int], budget: BatchBudget) -> None:
    waiting, done = list(range(len(lengths))), []
    while waiting:
        batch = [waiting[position] for position in select_batch([lengths[unit] for unit in waiting], budget)]
        done += batch
        waiting = [unit for unit in waiting if unit not in batch]
    assert sorted(done) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_a_batch_is_contiguous_in_the_order_of_length(lengths: list[int], budget: BatchBudget) -> None:
    """No unit is left out whose length lies between two selected ones: it would have needed less padding."""
    taken = select_batch(lengths, budget)
    batch = [lengths[position] for position in taken]
    left = [length for position, length in enumerate(lengths) if position not in taken]
    assert batch == sorted(batch)
    assert not [length for length in left if batch and batch[0] < length < batch[-1]]


@given(LENGTHS.filter(bool), BUDGETS)
def test_no_other_batch_with_the_due_unit_costs_less_for_each_token(
    lengths: list[int], budget: BatchBudget
) -> None:
    def cost(batch: list[int]) -> float:
        return (budget.cost(batch) + budget.overhead) / sum(batch)

    taken = cost([lengths[position] for position in select_batch(lengths, budget)])
    order = sorted(range(len(lengths)), key=lambda position: (lengths[position], position))
    due = order.index(0)
    for first in range(due + 1):
        for end in range(due + 1, min(len(order), first + budget.units) + 1):
            batch = [lengths[position] for position in order[first:end]]
            if len(batch) == 1 or budget.cost(batch) <= budget.length:
                assert taken <= cost(batch) * (1 + 1e-9)


def test_units_of_similar_length_are_batched_together() -> None:
    """The long unit came second; with it, four short ones would be padded to its length."""
    assert select_batch([10, 400, 12, 9, 11], BatchBudget(1024, 64)) == [3, 0, 4, 2]


def test_short_units_do_not_fill_a_batch_of_a_long_one() -> None:
    """Beside it, each would be padded to 100 tokens."""
    assert select_batch([100, 8, 8, 9, 8], BatchBudget(1024, 64)) == [0]
    assert select_batch([100, 8, 90, 9, 95], BatchBudget(1024, 64)) == [2, 4, 0]


def test_a_short_unit_that_is_due_is_padded_only_if_long_ones_make_up_for_it() -> None:
    assert select_batch([8, 128, 128], BatchBudget(1024, 64)) == [0, 1, 2]
    assert select_batch([8, 128], BatchBudget(1024, 64)) == [0, 1]
    assert select_batch([8] * 12 + [128], BatchBudget(1024, 64)) == list(range(12))
    assert len(select_batch([8] + [128] * 40, BatchBudget(1024, 64))) == 8


def test_the_overhead_of_a_batch_does_not_shrink_with_its_budget() -> None:
    budget = BatchBudget(1024, 64).with_length(512)
    assert budget.overhead == BatchBudget(1024, 64).overhead
    assert select_batch([10, 12, 11], budget) == [0, 2, 1]


def test_units_that_need_no_padding_fill_a_batch() -> None:
    assert select_batch([100, 8, 8, 9, 8], BatchBudget(1024, 64, padding=0.0)) == [1, 2, 4, 3, 0]


def test_padding_that_costs_little_keeps_few_units_out() -> None:
    assert len(select_batch([8] * 20 + [60] * 10, BatchBudget(1024, 64, padding=0.1))) == 30
    assert len(select_batch([8] * 20 + [60] * 10, BatchBudget(1024, 64))) == 20
    assert len(select_batch([8] + [30] * 16 + [500], BatchBudget(2048, 64, padding=0.1))) == 17


def test_an_empty_queue_gives_an_empty_batch() -> None:
    assert select_batch([], BatchBudget(1024, 64)) == []


def test_shorter_units_may_use_the_room_of_a_batch_better_than_one_more_long_one() -> None:
    budget = BatchBudget(100, 64, padding=0.0)
    assert select_batch([30, 30, 30, 20, 15], budget) == [4, 3, 0, 1]  # 95 tokens, not 90


def test_long_units_of_another_engine_get_no_short_ones_to_pad() -> None:
    budget = BatchBudget(2048, 128, padding=0.1, padded_beyond=1024)
    assert select_batch([8, 20, 20, 1100], budget) == [0, 1, 2]
    assert select_batch([1100, 8, 20], budget) == [0]
    assert select_batch([1000, 900], budget) == [1, 0]
