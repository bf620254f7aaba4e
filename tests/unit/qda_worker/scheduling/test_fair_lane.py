"""The time of a lane is shared between hosts, then between the names of a host, and used time is always charged."""

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from qda_worker.models.base import Options, PreparedText, Unit
from qda_worker.scheduling.fair_lane import MAX_NAMES, FairLane
from qda_worker.scheduling.jobs import Caller, Job, Lane, QueuedUnit, TextItem, Timings
from qda_worker.sentences.span import Span

Waiting = FairLane[str, str, str]


def text(caller: Caller, length: int = 10, windows: int = 1) -> TextItem[str, str, str]:
    """Return one tokenized text of a caller."""
    job: Job[str] = Job([caller.name or caller.host], Options(), Lane.BULK, None, 0.0, caller=caller)
    units = tuple(Unit(f"{caller.host}/{caller.name}", length) for _ in range(windows))
    return TextItem(job, 0, PreparedText(units, (Span(0, length),) * windows, length, length), Timings())


def add(lane: Waiting, item: TextItem[str, str, str]) -> None:
    for index in range(len(item.prepared.units)):
        lane.add(QueuedUnit(item, index, 0.0))


def fill(lane: Waiting, caller: Caller, count: int, length: int = 10) -> None:
    for _ in range(count):
        add(lane, text(caller, length))


def take(lane: Waiting, candidates: int = 1) -> QueuedUnit[str, str, str]:
    """Take one unit out of some candidates."""
    found = lane.take(candidates, lambda queued: queued.item.done)
    lane.commit(found, {0})
    return found[0]


def shares(lane: Waiting, batches: int, refill: Callable[[QueuedUnit[str, str, str]], None]) -> Counter[str]:
    """Return the length computed for each host. `refill` is told each unit before the next one is taken."""
    lengths = Counter[str]()
    for _ in range(batches):
        queued = take(lane, 5)
        lengths[queued.item.job.caller.host] += queued.unit.length
        refill(queued)
    return lengths


def test_one_long_text_at_a_time_gets_no_more_than_half() -> None:
    lane = Waiting()
    fill(lane, Caller("many"), 20_000)
    fill(lane, Caller("single"), 1, length=4096)

    def refill(queued: QueuedUnit[str, str, str]) -> None:
        if queued.item.job.caller.host == "single":
            fill(lane, Caller("single"), 1, length=4096)

    lengths = shares(lane, 4000, refill)
    assert 0.45 <= lengths["single"] / lengths.total() <= 0.55


def test_a_fresh_name_for_each_text_gives_a_host_no_more_than_half() -> None:
    lane = Waiting()
    fill(lane, Caller("many"), 20_000)
    number = 0

    def refill(queued: QueuedUnit[str, str, str]) -> None:
        nonlocal number
        if queued.item.job.caller.host == "fresh":
            number += 1
            fill(lane, Caller("fresh", f"name-{number}"), 1, length=4096)

    for _ in range(10):
        fill(lane, Caller("fresh", f"first-{number}"), 1, length=4096)
        number += 1
    lengths = shares(lane, 4000, refill)
    assert 0.45 <= lengths["fresh"] / lengths.total() <= 0.55


def test_cancelling_and_coming_back_earns_nothing() -> None:
    lane = Waiting()
    fill(lane, Caller("many"), 20_000)
    fill(lane, Caller("single"), 1, length=4096)

    def refill(queued: QueuedUnit[str, str, str]) -> None:
        if queued.item.job.caller.host == "single":
            gone = text(Caller("single"), 1)
            add(lane, gone)
            lane.remove(gone)
            fill(lane, Caller("single"), 1, length=4096)

    lengths = shares(lane, 4000, refill)
    assert 0.45 <= lengths["single"] / lengths.total() <= 0.55


def test_names_of_one_host_share_equally() -> None:
    lane = Waiting()
    for name, length in (("a", 10), ("b", 40)):
        fill(lane, Caller("gateway", name), 2000, length)
    fill(lane, Caller("other"), 2000)
    lengths = Counter[str]()
    for _ in range(600):
        queued = take(lane, 5)
        lengths[queued.item.job.caller.name] += queued.unit.length
    assert abs(lengths["a"] - lengths["b"]) <= 80
    assert abs(lengths["a"] + lengths["b"] - lengths[""]) <= 80


def test_a_host_with_too_many_names_shares_the_rest_in_one_account() -> None:
    lane = Waiting()
    for number in range(1000):
        fill(lane, Caller("host", f"name-{number}"), 2)
    assert lane.accounts == 1 + MAX_NAMES + 1
    assert len({take(lane).item.job for _ in range(2000)}) == 2000
    assert len(lane) == 0


def test_accounts_are_forgotten_when_the_clock_has_passed_them() -> None:
    lane = Waiting()
    for number in range(500):
        fill(lane, Caller(f"host-{number}", "name"), 1)
    fill(lane, Caller("steady"), 2000)
    for _ in range(1100):
        take(lane, 3)
    assert lane.accounts == 2
    for _ in range(1400):
        take(lane, 3)
    lane.end_busy_period()
    assert lane.accounts == 0


def test_a_removed_text_leaves_nothing_behind() -> None:
    lane = Waiting()
    kept, gone = text(Caller("a"), windows=3), text(Caller("a"), windows=3)
    add(lane, gone)
    add(lane, kept)
    lane.remove(gone)
    lane.remove(gone)
    assert len(lane) == 3
    assert [take(lane, 2).item for _ in range(3)] == [kept] * 3
    assert lane.take(9, lambda _: False) == []
    lane.commit([], set())


def test_what_was_not_selected_keeps_its_place() -> None:
    lane = Waiting()
    items = [text(Caller("a"), windows=3) for _ in range(3)]
    for item in items:
        add(lane, item)
    order = [(items.index(queued.item), queued.index) for queued in (take(lane, 5) for _ in range(9))]
    assert order == [(item, unit) for item in range(3) for unit in range(3)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("add", "take", "remove", "die")),
            st.integers(0, 3),
            st.integers(0, 2),
            st.integers(1, 3),
        ),
        max_size=60,
    )
)
def test_every_unit_is_taken_once_unless_it_was_removed(steps: list[tuple[str, int, int, int]]) -> None:
    lane, items, taken, expected = Waiting(), list[TextItem[str, str, str]](), list[object](), set[object]()
    for step, host, name, count in steps:
        if step == "add":
            items.append(text(Caller(str(host), str(name)), 10 * count, count))
            add(lane, items[-1])
            expected |= {(items[-1], index) for index in range(count)}
        elif step == "take":
            found = lane.take(4, lambda queued: queued.item.done)
            selected = set(range(0, len(found), 2))
            lane.commit(found, selected)
            taken += [(found[position].item, found[position].index) for position in selected]
        elif items:
            item = items[(host + 4 * name) % len(items)]
            if step == "remove":
                lane.remove(item)
            else:
                item.job.future.cancel()
            expected -= {key for key in expected if key[0] is item and key not in taken}  # type: ignore[index]
    while found := lane.take(4, lambda queued: queued.item.done):
        lane.commit(found, {0})
        taken.append((found[0].item, found[0].index))
    lane.commit([], set())
    assert len(lane) == 0
    assert len(taken) == len(set(taken))
    assert set(taken) == expected
