"""What one call did, gathered while it runs, for its one line in the log.

Counts and times only: no text, and nothing made from one, ever gets here.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class CallRecord:
    """A call's line. Times in seconds; they come from the response's own timings."""

    method: str
    caller: str
    model: str = ""
    items: int = 0
    failed_items: int = 0
    tokens: int = 0
    queue_seconds: float = 0.0
    tokenize_seconds: float = 0.0
    compute_seconds: float = 0.0


_CURRENT: ContextVar[CallRecord] = ContextVar("qda_worker.call")


def begin_call(method: str, caller: str) -> CallRecord:
    """Start the record of the call that runs in this task."""
    record = CallRecord(method, caller)
    _CURRENT.set(record)
    return record


def current_call() -> CallRecord:
    """The record of the call that runs in this task. Raises LookupError outside a call."""
    return _CURRENT.get()
