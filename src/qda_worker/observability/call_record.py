"""What one call did, gathered while it runs, for its line in the log, its metrics and its trace.

Counts, times and names only: no text, and nothing made from one, ever gets here.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

# The request never arrived whole: its sender has gone, or it is over the limit of one message.
REQUEST_INCOMPLETE: Final = "REQUEST_INCOMPLETE"


# Steps that a call's trace tells of: a stream of a million documents asks a million times.
MAX_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One time that a call asked a model: where its slowest text's time went, in seconds.

    ended: when the answers were there, by the clock of `CallRecord.began`. items: texts that were asked together.
    """

    ended: float
    items: int
    tokenize: float
    queue: float
    compute: float

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """By name, one after the other."""
        return (("tokenize", self.tokenize), ("queue", self.queue), ("compute", self.compute))

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.tokenize + self.queue + self.compute


@dataclass(slots=True)
class CallRecord:
    """One call. Times in seconds; those of queue, tokenising and computing come from the answers' own timings.

    method: `package.Service/Method`. began: by the server's monotonic clock, as is `deadline`. caller: the name it
    gives itself, else its address; empty until its request is there. peer_name: of its certificate (mutual TLS).
    status: name of the status code; empty while it runs. reason: of a call that was refused, failed or cancelled.
    metadata: what came with the call, never logged. received_bytes, sent_bytes: of its messages.
    trace_id: of the trace that it belongs to, if any. span: what `tracing` keeps of it.
    """

    method: str
    began: float = 0.0
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    caller: str = ""
    peer_name: str = ""
    deadline: float | None = None
    status: str = ""
    reason: str = ""
    trace_id: str = ""
    model: str = ""
    items: int = 0
    failed_items: int = 0
    cut_items: int = 0
    tokens: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    tokenize_seconds: float = 0.0
    compute_seconds: float = 0.0
    steps: list[Step] = field(default_factory=list)
    span: object = None

    def add_step(self, step: Step) -> None:
        """Note what a trace may tell."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append(step)


class CallListener(Protocol):
    """Hears of each call twice, on the event loop. Must be quick, and must not raise."""

    def on_start(self, record: CallRecord) -> None:
        """A call has come in; method and metadata are known."""

    def on_end(self, record: CallRecord) -> None:
        """It has ended; everything is known."""


_CURRENT: Final[ContextVar[CallRecord]] = ContextVar("qda_worker.call")


def begin_call(method: str, began: float = 0.0) -> CallRecord:
    """Start the record of the call that runs in this task."""
    record = CallRecord(method, began)
    _CURRENT.set(record)
    return record


def current_call() -> CallRecord:
    """The record of the call that runs in this task. Raises LookupError outside a call."""
    return _CURRENT.get()
