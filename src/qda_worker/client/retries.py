"""When a call that was turned away is worth another try. Pure.

Two layers, so that each knows what the other cannot. UNAVAILABLE is retried by gRPC itself (the channel's service
config): it alone can pick another worker. RESOURCE_EXHAUSTED is retried here, because the wait that the worker asks
for may be longer than gRPC's few attempts, and must never pass the call's deadline; so is DRAINING once gRPC has
given up.
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

MAX_DRAINING_TRIES = 4
"""The same at workers that drain, each being four tries of gRPC: among many calls these may all meet one worker."""

MAX_STREAM_TRIES = 5
"""Times that a broken stream of documents is opened again without one result in between."""

_FIRST_PAUSE = 0.2  # seconds; doubled each time, as the service config does for unary calls
_LONGEST_PAUSE = 5.0


def retry_pause(failure: ClientError, tries: int, remaining: float) -> float | None:
    """Seconds to wait before the next try of a whole call; None to give up.

    Args:
        failure: how the last try ended.
        tries: how many there were, at least 1.
        remaining: seconds until the call's deadline.
    """
    if isinstance(failure, Overloaded) and failure.retry_after is not None and tries < MAX_OVERLOADED_TRIES:
        pause = max(failure.retry_after, _growing(tries - 1))
    elif isinstance(failure, NotReady) and failure.reason == "DRAINING" and tries < MAX_DRAINING_TRIES:
        pause = _growing(tries - 1)
    else:
        return None
    return pause if pause < remaining else None


def resume_pause(failure: ClientError, tries: int) -> float | None:
    """Seconds to wait before a broken stream of documents goes on with the next document; None to give up.

    Args:
        failure: how the stream ended.
        tries: streams in a row, this one included, that brought no result; 0 if this one did.
    """
    if tries >= MAX_STREAM_TRIES or isinstance(failure, TlsFailed):
        return None
    if isinstance(failure, Overloaded) and failure.retry_after is not None:
        return failure.retry_after
    if isinstance(failure, NotReachable | NotReady) or (isinstance(failure, DeadlineExceeded) and tries == 0):
        return _growing(max(tries - 1, 0))
    return None


def _growing(tries: int) -> float:
    return min(_FIRST_PAUSE * 2.0**tries, _LONGEST_PAUSE)
