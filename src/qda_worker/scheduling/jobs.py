"""What travels through a model's queue: jobs of texts, the items they become, and what comes out.

A job is one call's texts; an item is one text of it; an entry is one unit of an item, waiting. The caller sees only
the job's future: cancelling it drops whatever has not been computed yet.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeAlias, TypeVar

from qda_worker.errors import WorkerError
from qda_worker.models.base import Options, Output, Payload, Prepared, Unit, Usage

Result = TypeVar("Result")


class Lane(IntEnum):
    """Who goes first."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(slots=True)
class Timings:
    """Where one text's time went, in seconds of the wall clock.

    queue: from its arrival until the batch with its first unit began, less `tokenise`.
    tokenise: cleaning and tokenising. compute: its share of the batches it was in, by length, so that the shares of
    all texts of a batch add up to the batch's time.
    """

    queue: float = 0.0
    tokenise: float = 0.0
    compute: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered(Generic[Result]):
    """The answer to one text."""

    result: Result
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Failed:
    """Why one text has no answer; the other texts of its call have theirs."""

    error: WorkerError
    timings: Timings


Outcome: TypeAlias = Answered[Result] | Failed


class Job(Generic[Result]):
    """One call's texts, and how many of them are still without an outcome.

    bytes: of memory that the texts take. They are held until the whole job is over.

    deadline: by the queue's clock, in seconds; None waits for ever. caller: between whom the model's time is shared.
    costs: of each text (`pace`). seconds_each: what a text is expected to keep the model busy, on the average.
    """

    __slots__ = (
        "arrived",
        "bytes",
        "caller",
        "costs",
        "deadline",
        "future",
        "lane",
        "open",
        "options",
        "outcomes",
        "seconds_each",
        "texts",
    )

    def __init__(
        self,
        texts: Sequence[str],
        options: Options,
        lane: Lane,
        deadline: float | None,
        arrived: float,
        *,
        caller: str = "",
        costs: Sequence[int] = (),
    ) -> None:
        self.texts = tuple(texts)
        self.bytes = sum(map(sys.getsizeof, self.texts))
        self.options = options
        self.lane = lane
        self.deadline = deadline
        self.arrived = arrived
        self.caller = caller
        self.costs = tuple(costs)
        self.seconds_each = 0.0
        self.future: Future[list[Outcome[Result]]] = Future()
        self.outcomes: list[Outcome[Result] | None] = [None] * len(self.texts)
        self.open = len(self.texts)

    @property
    def over(self) -> bool:
        """Whether nobody waits for its texts any more: all have their outcome, or the caller has gone."""
        return self.open == 0 or self.future.done()

    def expired(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and now >= self.deadline


@dataclass(slots=True)
class Item(Generic[Payload, Output, Result]):
    """One text of a job on its way: its units and the outputs that are there.

    queued: how many of its units have come into a lane so far. in_lane: how many of those still wait there.
    """

    job: Job[Result]
    number: int
    prepared: Prepared[Payload]
    timings: Timings
    outputs: dict[int, Output] = field(default_factory=dict)
    queued: int = 0
    in_lane: int = 0

    @property
    def text(self) -> str:
        """The text as sent."""
        return self.job.texts[self.number]

    @property
    def over(self) -> bool:
        """Whether it has its outcome already, or nobody waits for it."""
        return self.job.over or self.job.outcomes[self.number] is not None

    @property
    def complete(self) -> bool:
        """Whether every unit has its output."""
        return len(self.outputs) == len(self.prepared.units)


@dataclass(frozen=True, slots=True)
class Entry(Generic[Payload, Output, Result]):
    """One unit of an item that waits since `since`, by the queue's clock."""

    item: Item[Payload, Output, Result]
    place: int
    since: float

    @property
    def cost(self) -> float:
        """Its share of its text's cost."""
        costs = self.item.job.costs
        return costs[self.item.number] / len(self.item.prepared.units) if costs else 0.0

    @property
    def unit(self) -> Unit[Payload]:
        """What is to be computed."""
        return self.item.prepared.units[self.place]
