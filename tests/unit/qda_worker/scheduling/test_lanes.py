"""Interactive work goes before bulk work, which keeps its share; callers of a lane share it equally."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.base import Options, PreparedText, Unit
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.scheduling.jobs import Job, Lane, TextItem, Timings
from qda_worker.scheduling.lanes import Lanes
from qda_worker.scheduling.throughput import sum_by_class
from qda_worker.sentences.span import Span

BUDGET: Final = BatchBudget(length=40, units=4)
# With it, a batch of several interactive calls holds four texts of 10.
DOUBLED: Final = BatchBudget(length=80, units=4)
Waiting = Lanes[str, str, str]


def add(
    lanes: Waiting,
    caller: str,
    count: int,
    *,
    lane: Lane = Lane.INTERACTIVE,
    length: int = 10,
    now: float = 0.0,
    deadline: float | None = None,
    text: str = "",
) -> Job[str]:
    """Put `count` texts of one caller into a lane, which are all `text` or different."""
    texts, costs = [text or f"{caller}{number}" for number in range(count)], [length] * count
    job: Job[str] = Job(
        texts, Options(), lane, deadline, now,
        caller=caller, costs=costs, open_costs=sum_by_class(costs),
    )  # fmt: skip
    for number, content in enumerate(job.texts):
        prepared = PreparedText((Unit(content, length),), (Span(0, length),), length, length)
        lanes.add(TextItem(job, number, prepared, Timings()))
    return job


def take(lanes: Waiting, now: float = 0.0) -> list[str]:
    """Return the texts of the next batch."""
    batch, _ = lanes.take(now)
    return [queued.unit.payload for queued in batch]


def test_a_caller_with_ten_texts_passes_one_with_ten_thousand() -> None:
    lanes = Waiting(DOUBLED)
    add(lanes, "greedy", 10_000)
    assert take(lanes) == [f"greedy{number}" for number in range(4)]
    add(lanes, "modest", 10)
    texts = [text for _ in range(6) for text in take(lanes)]
    assert [text for text in texts if text.startswith("modest")] == [
        f"modest{number}" for number in range(10)
    ]


def test_callers_share_the_time_not_the_number_of_texts() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "short", 400, length=10)
    add(lanes, "long", 400, length=40)
    counts = Counter(text.rstrip("0123456789") for _ in range(100) for text in take(lanes))
    assert 3 <= counts["short"] / counts["long"] <= 5


def test_a_new_caller_gets_no_credit_for_idle_time() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "steady", 1_000)
    for _ in range(100):
        take(lanes)
    add(lanes, "new", 100)
    counts = Counter(text.rstrip("0123456789") for _ in range(20) for text in take(lanes))
    assert abs(counts["steady"] - counts["new"]) <= 8


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.sampled_from(Lane), st.integers(1, 60)),
        max_size=12,
    )
)
def test_every_unit_is_taken_exactly_once(
    calls: list[tuple[str, int, Lane, int]],
) -> None:
    lanes = Waiting(BUDGET)
    for number, (caller, count, lane, length) in enumerate(calls):
        add(lanes, caller, count, lane=lane, length=length, now=float(number))
    total, taken = len(lanes), 0
    while batch := take(lanes, 1000.0):
        taken += len(batch)
    assert taken == total == sum(count for _, count, _, _ in calls)
    assert len(lanes) == 0


def test_bulk_work_gets_a_tenth_of_the_time_beside_interactive_work() -> None:
    lanes, now = Waiting(BUDGET), 0.0
    add(lanes, "bulk", 4_000, lane=Lane.BULK)
    add(lanes, "person", 4_000)
    seconds = Counter[str]()
    for _ in range(500):
        batch = take(lanes, now)
        seconds[batch[0].rstrip("0123456789")] += 1
        now += 0.1
    assert 0.07 <= seconds["bulk"] / 500 <= 0.13


def test_an_interactive_text_waits_for_at_most_one_bulk_batch() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "bulk", 1_000, lane=Lane.BULK, now=0.0)
    for second in range(100):
        take(lanes, float(second))
    add(lanes, "person", 2, now=100.0)
    assert take(lanes, 100.0) == ["person0", "person1"]


def test_bulk_work_alone_gets_all_the_time() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "bulk", 8, lane=Lane.BULK)
    assert len(take(lanes)) == len(take(lanes)) == 4


def test_cancelled_and_expired_work_is_not_taken() -> None:
    lanes = Waiting(BUDGET)
    gone = add(lanes, "gone", 3)
    late = add(lanes, "late", 3)
    late.deadline = 5.0
    add(lanes, "kept", 2)
    gone.future.cancel()
    batch, expired = lanes.take(6.0)
    assert [queued.unit.payload for queued in batch] == ["kept0", "kept1"]
    assert expired == {late}
    assert len(lanes) == 0


def test_a_text_beyond_the_budget_waits_in_the_bulk_lane() -> None:
    """Otherwise it would hold up every interactive text for the whole of its pass."""
    lanes = Waiting(BUDGET)
    add(lanes, "transcript", 1, length=BUDGET.length + 1)
    add(lanes, "person", 1)
    assert take(lanes) == ["person0"]
    assert take(lanes) == ["transcript0"]


def test_interactive_time_during_a_bulk_batch_shortens_the_pause_after_it() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "bulk", 8, lane=Lane.BULK)
    assert take(lanes, 0.0)[0] == "bulk0"
    add(lanes, "person", 100)
    batch, _ = lanes.take_interactive(1.0)
    assert [queued.unit.payload for queued in batch] == [f"person{number}" for number in range(4)]
    assert lanes.take_interactive(10.0)[0] == [], "it has had its nine seconds"
    assert take(lanes, 10.0)[0] == "bulk4"


def test_nothing_interrupts_without_a_bulk_batch() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "person", 8)
    assert lanes.take_interactive(1.0) == ([], set())
    take(lanes, 1.0)
    assert lanes.take_interactive(2.0) == ([], set())


def test_a_bulk_batch_that_is_interrupted_keeps_a_tenth_of_the_time() -> None:
    lanes, now, bulk_seconds = Waiting(BUDGET), 0.0, 0.0
    add(lanes, "bulk", 4, lane=Lane.BULK)
    take(lanes, now)
    add(lanes, "person", 4_000)
    while bulk_seconds < 10.0:
        bulk_seconds += 0.5
        now += 0.5
        while lanes.take_interactive(now)[0]:
            now += 0.3
    assert 0.09 <= bulk_seconds / now <= 0.11


def seconds(costs: Mapping[int, int]) -> float:
    """Expect a tenth of a second for a unit of cost: 4 seconds for a full batch."""
    return sum(costs.values()) / 10


@pytest.mark.parametrize("padding", [0.1, 1.0])
def test_a_call_that_its_batch_would_make_late_is_left_out(padding: float) -> None:
    lanes = Waiting(replace(DOUBLED, padding=padding), seconds)
    late = add(lanes, "late", 2, deadline=1.5)  # 2 seconds
    add(lanes, "other", 4, deadline=20.0)
    batch, expired = lanes.take(0.0)
    assert expired == {late}
    assert [queued.unit.payload for queued in batch] == [f"other{number}" for number in range(4)]


@pytest.mark.parametrize("padding", [0.1, 1.0])
def test_a_small_call_that_is_due_is_computed_in_a_batch_that_ends_in_time(padding: float) -> None:
    lanes = Waiting(replace(DOUBLED, padding=padding), seconds)
    add(lanes, "due", 2, deadline=3.5)
    add(lanes, "other", 40, deadline=100.0)
    batch, expired = lanes.take(0.0)
    assert {queued.unit.payload for queued in batch} == {"due0", "due1", "other0"}
    assert not expired


def test_a_unit_beyond_the_budget_is_taken_alone_although_its_deadline_is_close() -> None:
    lanes = Waiting(BUDGET, seconds)
    add(lanes, "long", 1, length=100, deadline=15.0)
    add(lanes, "other", 4, deadline=100.0)
    assert take(lanes) == ["other0", "other1", "other2", "other3"]
    assert take(lanes) == ["long0"]


def test_windows_that_are_computed_do_not_count_as_work_that_is_left() -> None:
    """Batches go by length, so a text may have all windows but a short one, which comes last."""
    lanes = Waiting(DOUBLED, seconds)
    costs = [38] * 4
    job: Job[str] = Job(
        ["text"] * 4, Options(), Lane.INTERACTIVE, 17.0, 0.0,
        caller="one", costs=costs, open_costs=sum_by_class(costs),
    )  # fmt: skip
    windows = tuple(Unit(f"{length}", length) for length in (20, 18))
    for number in range(4):
        prepared = PreparedText(windows, (Span(0, 20), Span(20, 38)), 38, 38)
        item: TextItem[str, str, str] = TextItem(job, number, prepared, Timings())
        job.items[number] = item
        lanes.add(item)
    now, computed = 0.0, 0
    while computed < 8:
        add(lanes, "other", 1, length=1)
        batch, expired = lanes.take(now)
        assert not expired
        for queued in batch:
            now += queued.unit.length / 10
            if queued.item.job is job:
                queued.item.outputs[queued.index] = "computed"
                computed += 1
    assert now <= 17.0


def test_a_call_that_cannot_be_finished_after_its_batch_is_left_out() -> None:
    lanes = Waiting(BUDGET, seconds)
    large = add(lanes, "large", 12, deadline=9.0)  # 12 seconds
    add(lanes, "other", 4, deadline=20.0)
    _, expired = lanes.take(0.0)
    assert expired == {large}


def test_a_call_that_nobody_waits_behind_is_computed_although_it_is_expected_to_be_late() -> None:
    lanes = Waiting(BUDGET, seconds)
    add(lanes, "alone", 2, deadline=0.5)
    batch, expired = lanes.take(0.0)
    assert len(batch) == 2
    assert not expired


def test_calls_with_close_deadlines_are_computed_one_after_the_other() -> None:
    """By length alone a batch would have one text of each call, and none would be complete soon."""
    lanes = Waiting(BUDGET, seconds)
    for caller in range(4):
        for length in (7, 8, 9, 10):
            add(lanes, f"{caller}-{length}-", 1, length=length, deadline=16.0)
    batch, _ = lanes.take(0.0)
    assert {queued.item.job.texts[0][0] for queued in batch} <= {"0", "1", "2"}


def test_bulk_batches_are_smaller_for_some_seconds_after_interactive_work() -> None:
    """An interactive text waits for a part of a bulk batch, which is as long as the batch is large."""
    lanes = Waiting(BatchBudget(length=40, units=4, coarse_pauses=True))
    add(lanes, "corpus", 20, lane=Lane.BULK)
    assert len(take(lanes)) == 4
    add(lanes, "person", 1)
    assert take(lanes, now=1.0) == ["person0"]

    assert [len(take(lanes, now=now)) for now in (2.0, 10.0)] == [2, 2]
    assert len(take(lanes, now=11.1)) == 4


def test_bulk_batches_stay_full_if_the_model_pauses_often() -> None:
    lanes = Waiting(BUDGET)
    add(lanes, "corpus", 20, lane=Lane.BULK)
    add(lanes, "person", 1)
    assert take(lanes, now=1.0) == ["person0"]
    assert len(take(lanes, now=2.0)) == 4


def test_a_small_batch_is_chosen_from_what_fills_it_if_a_deadline_is_close() -> None:
    """The whole budget would let it look further, where units of the same length are."""
    lanes = Waiting(BatchBudget(length=40, units=4, coarse_pauses=True), seconds)
    add(lanes, "person", 1)
    assert take(lanes) == ["person0"]
    for caller, count, length in (("due", 1, 10), ("next", 1, 8), ("later", 3, 10)):
        add(lanes, caller, count, lane=Lane.BULK, length=length, deadline=5.5)
    batch, _ = lanes.take(0.5)
    assert {queued.unit.payload for queued in batch} == {"due0", "next0"}


def test_short_texts_fill_a_batch_of_a_large_budget() -> None:
    lanes = Waiting(BatchBudget(length=16_384, units=1024))
    add(lanes, "short", 1100, length=8)
    assert len(take(lanes)) == 1024


def test_a_batch_that_leaves_units_for_their_padding_is_told_from_one_that_has_all() -> None:
    lanes = Waiting(BatchBudget(length=400, units=40))
    add(lanes, "long", 2, lane=Lane.BULK, length=100)
    add(lanes, "short", 3, lane=Lane.BULK, length=10)
    assert sorted(take(lanes)) == ["long0", "long1"]
    assert lanes.leaves_units
    assert len(take(lanes)) == 3
    assert not lanes.leaves_units


def test_interactive_batches_of_several_calls_are_half_as_large_so_that_the_first_are_answered_soon() -> None:
    lanes = Waiting(BatchBudget(length=1024, units=64))
    for number in range(60):
        add(lanes, f"caller{number}-", 1, length=25)
    assert [len(take(lanes)) for _ in range(3)] == [20, 20, 20]


def test_the_texts_of_one_call_that_is_alone_are_not_divided() -> None:
    lanes = Waiting(BatchBudget(length=1024, units=64, padding=0.1))
    add(lanes, "one", 40, length=25)
    assert len(take(lanes)) == 40


@pytest.mark.parametrize("padding", [0.0, 0.1])
def test_interactive_texts_are_computed_in_order_if_padding_costs_little(padding: float) -> None:
    lanes = Waiting(BatchBudget(length=200, units=64, padding=padding))
    waiting = {f"{number}-0": length for number, length in enumerate([20, 30, 45, 10] * 10)}
    for name, length in waiting.items():
        add(lanes, name.removesuffix("0"), 1, length=length)
    while batch := take(lanes):
        names = list(waiting)
        assert names[0] in batch
        assert max(map(names.index, batch)) < 12  # by length it would be up to 39
        for name in batch:
            del waiting[name]
        assert lanes.leaves_units == bool(waiting)


def test_a_text_that_does_not_fit_leaves_room_for_those_behind_it() -> None:
    lanes = Waiting(BatchBudget(length=1024, units=64, padding=0.1))
    for number in range(20):
        add(lanes, f"short{number}-", 1, length=8)
        add(lanes, f"long{number}-", 1, length=600)
    assert sorted(take(lanes)) == sorted(f"short{number}-0" for number in range(20))
    assert take(lanes) == ["long0-0"]


@pytest.mark.parametrize("padding", [0.0, 0.1, 1.0])
def test_equal_texts_of_many_calls_are_one_batch(padding: float) -> None:
    lanes = Waiting(BatchBudget(length=1024, units=64, padding=padding))
    for number in range(200):
        add(lanes, f"caller{number}-", 1, length=25, text="the same")
    assert take(lanes) == ["the same"] * 200


def test_interactive_texts_are_sorted_by_length_if_padding_is_computed() -> None:
    lanes = Waiting(BatchBudget(length=200, units=64))
    for number, length in enumerate([10, 50, 10, 50, 10, 50]):
        add(lanes, f"caller{number}-", 1, length=length)
    assert sorted(take(lanes)) == ["caller0-0", "caller2-0", "caller4-0"]


def test_bulk_batches_are_full_however_many_calls_wait() -> None:
    lanes = Waiting(BatchBudget(length=1024, units=64))
    for number in range(60):
        add(lanes, f"caller{number}-", 1, lane=Lane.BULK, length=25)
    assert len(take(lanes)) == 40
