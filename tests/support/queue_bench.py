"""A queue on an echo, with a clock that the test turns and an observer that remembers."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from qda_worker.scheduling.jobs import Answered, Outcome
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel
from tests.support.recording_observer import Heard

WAIT: Final = 30
Queue = ModelQueue[str, str, str]


@dataclass
class Bench:
    """What a test of the queue works on."""

    pool: Executor
    model: EchoModel = field(default_factory=EchoModel)
    now: float = 100.0
    failures: list[str] = field(default_factory=list)
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.queue: Queue = ModelQueue(
            self.model,
            self.pool,
            capacity=200,
            capacity_bytes=100_000,
            clock=lambda: self.now,
            on_failure=self.failures.append,
            observer=self.heard,
        )

    def busy(self) -> None:
        """Occupies the compute thread with a text of its own until the gate opens."""
        self.model.gate.clear()
        self.queue.submit(["busy"])
        assert self.model.entered.acquire(timeout=WAIT)

    def settled(self) -> None:
        """Waits until the pool has prepared all it was given."""
        assert self.pool.submit(lambda: None).result(WAIT) is None


def results(outcomes: list[Outcome[str]]) -> list[str]:
    """The answers, or the reasons why there are none."""
    return [each.result if isinstance(each, Answered) else each.error.reason for each in outcomes]
