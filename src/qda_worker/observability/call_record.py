"""The record of one call: collected while it runs, for its log line, its metrics and its trace.

`begin_call` creates the record of a call and stores it in a context variable, so that every layer of the same asyncio
task (interceptors, services) can add to it without passing it on: `current_call` returns it. `CallListener`s receive it
at the start and at the end of the call. All of this runs on the event loop, so a record needs no lock.

A record holds counts, durations and names only. Texts, and anything made from them, must never be stored in it.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from qda_worker.access.text_rates import TextBudget
from qda_worker.errors import WorkerError

# Reason of a call whose request never arrived completely: the sender has gone, or the message is above the size limit.
REQUEST_INCOMPLETE: Final = "REQUEST_INCOMPLETE"

# Method names of the services of this project begin so; all others are of libraries, or do not exist.
QDA_METHOD_PREFIX: Final = "qda.v1."

# An IPv4 address as IPv6, in a gRPC peer.
_MAPPED_IPV4: Final = re.compile(r"ipv6:%5B::ffff:([0-9.]+)%5D", re.IGNORECASE)

# Limit of inference steps in a trace: a stream of a million documents has a million.
MAX_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class InferenceStep:
    """The timing of one inference request of a call: where the time of its slowest text went.

    Attributes:
        ended: when the results were there, on the same clock as `CallRecord.began`.
        items: number of texts that were sent to the model together.
        tokenize: seconds of tokenization.
        queue: seconds in the queue.
        compute: seconds of computation.
    """

    ended: float
    items: int
    tokenize: float
    queue: float
    compute: float

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Name and seconds of each part, in order."""
        return (("tokenize", self.tokenize), ("queue", self.queue), ("compute", self.compute))

    @property
    def seconds(self) -> float:
        """The sum of all parts."""
        return self.tokenize + self.queue + self.compute


@dataclass(slots=True)
class CallRecord:
    """One call. All durations are in seconds; those of queue, tokenization and computation come from the results.

    Attributes:
        method: `package.Service/Method`; `other` for a method that does not exist.
        began: when the call started, on the server's monotonic clock.
        metadata: the metadata of the request, without credentials. It is never logged.
        caller: the caller's name (metadata `x-qda-caller`), else its address; empty until the request has arrived.
        peer: the caller's address, as gRPC writes it; empty until the request has arrived, or its head by HTTP.
        peer_name: the common name of the client certificate (mutual TLS).
        principal: the name that the access policy accepted the call by, of its token or certificate; empty without one.
        refusal: why the access policy refuses the call; None if it does not.
        budget: limits the texts of the call; None without a limit.
        deadline: on the same clock as `began`; None without a deadline.
        status: the name of the status code; empty while the call runs.
        reason: why a call was refused, failed or cancelled; empty otherwise.
        trace_id: the trace that the call belongs to, if any.
        model: the key of the model that answers.
        items: number of texts.
        failed_items: texts with an error of their own.
        cut_items: texts of which only the beginning was read.
        cached_items: texts that were answered from the result cache.
        tokens: number of tokens of all texts.
        received_bytes: size of all request messages.
        sent_bytes: size of all response messages.
        seconds: duration of the call.
        queue_seconds: the longest time of a text in the queue.
        tokenize_seconds: the sum of all texts' tokenization.
        compute_seconds: the sum of all texts' computation.
        in_progress: number of messages of the request stream whose answer is being computed.
        steps: the first `MAX_STEPS` inference requests, for the trace.
        span: the span of the call, set and used by `tracing` only.
    """

    method: str
    began: float = 0.0
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    caller: str = ""
    peer: str = ""
    peer_name: str = ""
    principal: str = ""
    refusal: WorkerError | None = None
    budget: TextBudget | None = None
    deadline: float | None = None
    status: str = ""
    reason: str = ""
    trace_id: str = ""
    model: str = ""
    items: int = 0
    failed_items: int = 0
    cut_items: int = 0
    cached_items: int = 0
    tokens: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    tokenize_seconds: float = 0.0
    compute_seconds: float = 0.0
    in_progress: int = 0
    steps: list[InferenceStep] = field(default_factory=list)
    span: object = None

    @property
    def is_qda_method(self) -> bool:
        """Whether the method is one of `qda.v1`."""
        return self.method.startswith(QDA_METHOD_PREFIX)

    @property
    def charged_to(self) -> str:
        """Whom limits and fair scheduling charge the call to; a caller cannot choose it itself.

        The name that the access policy accepted, else the name in the client's certificate, else the host. More
        connections therefore do not give a larger share.
        """
        return self.principal or self.peer_name or peer_host(self.peer)

    def add_step(self, step: InferenceStep) -> None:
        """Add an inference step for the trace; steps above `MAX_STEPS` are dropped."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append(step)


class CallListener(Protocol):
    """Is notified of each call twice, on the event loop. Implementations must be quick and must not raise."""

    def on_start(self, record: CallRecord) -> None:
        """Handle the start of a call; method and metadata are known."""

    def on_end(self, record: CallRecord) -> None:
        """Handle the end of a call; every field is known."""


def peer_host(peer: str) -> str:
    """Return the host of a gRPC peer such as `ipv4:10.0.0.1:50000`; other kinds of peers unchanged.

    A socket of both families shows an IPv4 address as a mapped IPv6 one. Both forms are one host.
    """
    host = peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
    mapped = _MAPPED_IPV4.fullmatch(host)
    return f"ipv4:{mapped[1]}" if mapped else host


_CURRENT: Final[ContextVar[CallRecord]] = ContextVar("qda_worker.call")


def begin_call(method: str, began: float = 0.0) -> CallRecord:
    """Create the record of the call that runs in this task."""
    record = CallRecord(method, began)
    _CURRENT.set(record)
    return record


def current_call() -> CallRecord:
    """Return the record of the call that runs in this task.

    Raises:
        LookupError: no call runs in this task.
    """
    return _CURRENT.get()
