"""A model queue on an EchoModel, with a clock that the test sets and an observer that records."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from qda_worker.scheduling.jobs import Outcome, Success
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel
from tests.support.recording_observer import RecordingObserver

# Time limit of every wait in a test, in seconds.
WAIT: Final = 30
Queue = ModelQueue[str, str, str]


@dataclass
class QueueHarness:
    """A queue of 200 texts and 100,000 bytes, and everything that a test controls or checks.

    Attributes:
        pool: executor with one thread, in which texts are tokenized.
        now: the queue's clock, in seconds.
        failures: reasons that the queue passed to `on_failure`.
    """

    pool: Executor
    model: EchoModel = field(default_factory=EchoModel)
    now: float = 100.0
    failures: list[str] = field(default_factory=list)
    observer: RecordingObserver = field(default_factory=RecordingObserver)

    def __post_init__(self) -> None:
        self.queue: Queue = ModelQueue(
            self.model,
            self.pool,
            capacity=200,
            capacity_bytes=100_000,
            clock=lambda: self.now,
            on_failure=self.failures.append,
            observer=self.observer,
        )

    def block_compute_thread(self) -> None:
        """Occupy the compute thread with a text of its own until the model's gate opens."""
        self.model.gate.clear()
        self.queue.submit(["busy"])
        assert self.model.entered.acquire(timeout=WAIT)

    def wait_for_tokenizer(self) -> None:
        """Wait until the pool has prepared everything submitted so far."""
        assert self.pool.submit(lambda: None).result(WAIT) is None


def results(outcomes: list[Outcome[str]]) -> list[str]:
    """Return the result of each text, or the reason of its error."""
    return [each.result if isinstance(each, Success) else each.error.reason for each in outcomes]
