"""When a call that was turned away is worth another try. Pure.

Two layers, so that each knows what the other cannot. UNAVAILABLE is tried again by gRPC itself, a few times within a
second (the channel's service config): it alone can pick another worker. What lasts longer is waited for here,
within the call's deadline: a worker that loads its models, drains, restarts, or is overloaded and says until when.
Nobody at a target that never answered is given up after gRPC's tries: a wrong address more often than a late worker.
"""

from __future__ import annotations

from qda_worker.client.errors import (
    ClientError,
    DeadlineExceeded,
    NotReachable,
    NotReady,
    Overloaded,
    TlsFailed,
)

MAX_OVERLOADED_TRIES = 30
"""Tries of one request at a worker that answers RESOURCE_EXHAUSTED; the deadline usually ends them earlier."""

MAX_STRANGER_TRIES = 5
"""Times that a stream is opened at a target that never answered; unary calls have gRPC's own tries."""

MAX_BROKEN_ANSWERS = 3
"""Times that an answer may break in its midst before a call that begins anew each time is given up: what ends its
worker again and again must not do so for an hour."""

_FIRST_PAUSE = 0.2  # seconds; doubled each time
_LONGEST_PAUSE = 5.0


def may_pass(failure: ClientError, *, met: bool) -> bool:
    """Whether waiting can help: the worker is there and not ready, or it is gone and was there before (`met`)."""
    if isinstance(failure, NotReady):
        return not failure.lasting
    return met and isinstance(failure, NotReachable) and not isinstance(failure, TlsFailed)


def retry_pause(failure: ClientError, tries: int, remaining: float, *, met: bool) -> float | None:
    """Seconds to wait before the next try of a whole call; None to give up.

    Args:
        failure: how the last try ended.
        tries: how many there were, at least 1.
        remaining: seconds for which it may be tried again.
        met: whether a worker has ever answered at this target.
    """
    advised: float | None = None
    if isinstance(failure, Overloaded) and tries < MAX_OVERLOADED_TRIES:
        advised = failure.retry_after
    elif isinstance(failure, NotReady | NotReachable) and may_pass(failure, met=met):
        advised = (failure.retry_after or 0.0) if isinstance(failure, NotReady) else 0.0
    if advised is None:
        return None
    pause = max(advised, _growing(tries - 1))
    return pause if pause < remaining else None


def resume_pause(failure: ClientError, fruitless: int, remaining: float, *, met: bool) -> float | None:
    """Seconds to wait before a broken stream goes on with the next text; None to give up.

    Args:
        fruitless: streams in a row, this one included, that brought no result; 0 if this one did.
        remaining: seconds for which it may go on without one result.
    """
    if isinstance(failure, DeadlineExceeded):
        return _growing(0) if fruitless == 0 else None
    if type(failure) is NotReachable and not met:
        return _growing(max(fruitless - 1, 0)) if fruitless < MAX_STRANGER_TRIES else None
    return retry_pause(failure, max(fruitless, 1), remaining, met=met)


def _growing(tries: int) -> float:
    return min(_FIRST_PAUSE * 2.0 ** min(tries, 10), _LONGEST_PAUSE)
