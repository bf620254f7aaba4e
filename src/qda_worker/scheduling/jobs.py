"""The values that pass through a model's queue.

A `Job` is the texts of one call, a `TextItem` is one text of a job after tokenization, a `QueuedUnit` is one unit of a
text while it waits in a lane, and an `Outcome` is how one text ended. The caller sees only the job's future; cancelling
the future drops everything that has not been computed.

The fields of a job and its items are guarded by the lock of `QueueState`. Only `TextItem.outputs` and
`TextItem.timings` are written without it, by the one thread that owns the item at that time.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeAlias, TypeVar

from qda_worker.errors import WorkerError
from qda_worker.models.base import Options, Output, Payload, PreparedText, Unit, Usage

Result = TypeVar("Result")


class Lane(IntEnum):
    """Priority class of a call. INTERACTIVE goes first; see `Lanes` for the share of BULK."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller to which compute time is charged: a host, and a name below that host.

    Attributes:
        host: proved or at least costly to change: the name in the client's certificate, or its address.
        name: what the caller calls itself below that; empty if it has no name. Names are free, so they only divide the
            share of their host.
    """

    host: str = ""
    name: str = ""


@dataclass(slots=True)
class Timings:
    """Where the time of one text was spent, in seconds of the wall clock.

    Attributes:
        queue: from the arrival of the call to the start of the batch with the text's first unit, less `tokenize`.
        tokenize: cleaning and tokenizing.
        compute: the text's share of its batches. The time of a batch is divided among its units by length, so the
            shares of all texts of a batch add up to the time of the batch.
        cached: whether the result was in the result cache; then all times are 0.
    """

    queue: float = 0.0
    tokenize: float = 0.0
    compute: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Success(Generic[Result]):
    """The outcome of a text that has a result."""

    result: Result
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Failure:
    """The outcome of a text that has no result. Other texts of the same call are not affected."""

    error: WorkerError
    timings: Timings


Outcome: TypeAlias = Success[Result] | Failure


@dataclass(frozen=True, slots=True)
class PreparedAhead:
    """A text that was prepared before its call was submitted, so that the call's size was known.

    Attributes:
        prepared: the prepared text, or the exception that the model raised for it.
        seconds: how long that took.
    """

    prepared: PreparedText[Any] | Exception
    seconds: float

    @property
    def used_length(self) -> int:
        """Length of the part of the text that the model reads; 0 for a text that failed."""
        return 0 if isinstance(self.prepared, Exception) else self.prepared.used_length

    def steps(self) -> Iterator[PreparedText[Any]]:
        """Yield the prepared text, in the place of `TextModel.prepare_steps`.

        Raises:
            Exception: what the model raised.
        """
        if isinstance(self.prepared, Exception):
            raise self.prepared
        yield self.prepared


def find_duplicates(texts: Sequence[str]) -> dict[int, list[int]]:
    """Return for each text that comes several times the numbers of the later ones, by the number of the first."""
    duplicates: dict[int, list[int]] = {}
    numbers: dict[str, int] = {}
    for number, text in enumerate(texts):
        first = numbers.setdefault(text, number)
        if first != number:
            duplicates.setdefault(first, []).append(number)
    return duplicates


class Job(Generic[Result]):
    """The texts of one call, and how many of them have no outcome yet.

    Attributes:
        texts: the texts, in the order of the call.
        bytes: memory of the texts, in bytes. It counts against the queue's limit until the whole job is done.
        deadline: the deadline in seconds of the queue's clock; None for no deadline.
        arrival: when the job was submitted, in seconds of the queue's clock.
        caller: whom the model's time is shared between; a string is the host of a caller without a name.
        costs: estimated cost of each text, see `throughput.text_cost`.
        open_costs: summed cost of the texts without an outcome, by length class, see `throughput.length_class`.
        future: completed with one outcome per text, or with the error that ended the whole job.
        outcomes: the outcome of each text; None until it is known.
        duplicates: for a text that comes several times, the numbers of the later ones by that of the first. They share
            the outcome of the first, and are neither tokenized nor computed.
        prepared: the texts as they were prepared before; empty if they are prepared by the queue.
        items: the tokenized texts without an outcome, by their number.
        open_texts: number of texts without an outcome.
        expected: seconds until it is done, as estimated when it was admitted; 0 if unknown or without a deadline.
    """

    __slots__ = (
        "arrival",
        "bytes",
        "caller",
        "costs",
        "deadline",
        "duplicates",
        "expected",
        "future",
        "items",
        "lane",
        "open_costs",
        "open_texts",
        "options",
        "outcomes",
        "prepared",
        "texts",
    )

    def __init__(
        self,
        texts: Sequence[str],
        options: Options,
        lane: Lane,
        deadline: float | None,
        arrival: float,
        *,
        caller: Caller | str = "",
        costs: Sequence[int] = (),
        open_costs: Mapping[int, int] | None = None,
        duplicates: Mapping[int, Sequence[int]] | None = None,
        prepared: Sequence[PreparedAhead] = (),
    ) -> None:
        self.texts = tuple(texts)
        self.duplicates = duplicates or {}
        self.prepared = tuple(prepared)
        self.bytes = sum(map(sys.getsizeof, self.texts))
        self.options = options
        self.lane = lane
        self.deadline = deadline
        self.arrival = arrival
        self.caller = Caller(caller) if isinstance(caller, str) else caller
        self.costs = tuple(costs)
        self.open_costs = dict(open_costs or {})
        self.expected = 0.0
        self.future: Future[list[Outcome[Result]]] = Future()
        self.outcomes: list[Outcome[Result] | None] = [None] * len(self.texts)
        self.open_texts = len(self.texts)
        self.items: dict[int, TextItem[Any, Any, Result]] = {}

    @property
    def done(self) -> bool:
        """Whether no more work is needed: every text has an outcome, or the job ended early."""
        return self.open_texts == 0 or self.future.done()

    def is_expired(self, now: float) -> bool:
        """Return whether the deadline has passed."""
        return self.deadline is not None and now >= self.deadline


@dataclass(slots=True, eq=False)
class TextItem(Generic[Payload, Output, Result]):
    """One text of a job after tokenization, with the outputs computed so far.

    Attributes:
        number: position of the text in its job.
        outputs: raw outputs by unit index.
        enqueued_units: how many of the units have been put into a lane so far.
        waiting_units: how many of those are still in the lane.
    """

    job: Job[Result]
    number: int
    prepared: PreparedText[Payload]
    timings: Timings
    outputs: dict[int, Output] = field(default_factory=dict)
    enqueued_units: int = 0
    waiting_units: int = 0

    @property
    def text(self) -> str:
        """The text as the caller sent it."""
        return self.job.texts[self.number]

    @property
    def done(self) -> bool:
        """Whether the text has an outcome already, or its job has ended."""
        return self.job.done or self.job.outcomes[self.number] is not None

    @property
    def computed(self) -> bool:
        """Whether every unit has its output."""
        return len(self.outputs) == len(self.prepared.units)


@dataclass(frozen=True, slots=True)
class QueuedUnit(Generic[Payload, Output, Result]):
    """One unit of a text that waits in a lane.

    Attributes:
        index: position of the unit in `item.prepared.units`.
        arrival: when its job was submitted, in seconds of the queue's clock.
    """

    item: TextItem[Payload, Output, Result]
    index: int
    arrival: float

    @property
    def cost(self) -> float:
        """The unit's share of the estimated cost of its text."""
        costs = self.item.job.costs
        return costs[self.item.number] / len(self.item.prepared.units) if costs else 0.0

    @property
    def unit(self) -> Unit[Payload]:
        """What the model computes."""
        return self.item.prepared.units[self.index]

    def equals(self, other: "QueuedUnit[Payload, Output, Result]") -> bool:
        """Return whether a model computes the same for both: the same part of the same text under the same options."""
        mine, others = self.item.job, other.item.job
        return (
            self.index == other.index
            and (mine.options is others.options or mine.options == others.options)
            and self.item.text == other.item.text
        )


def group_equal(units: Sequence[QueuedUnit[Payload, Output, Result]]) -> list[list[int]]:
    """Return the positions of units in groups of equal ones, see `QueuedUnit.equals`, in the order of the first.

    The units of one text are never equal to each other.
    """
    groups: list[list[int]] = []
    numbers_by_text: dict[tuple[str, int], list[int]] = {}
    for position, queued in enumerate(units):
        numbers = numbers_by_text.setdefault((queued.item.text, queued.index), [])
        for number in numbers:  # more than one only if the options differ
            if units[groups[number][0]].equals(queued):
                groups[number].append(position)
                break
        else:
            numbers.append(len(groups))
            groups.append([position])
    return groups
