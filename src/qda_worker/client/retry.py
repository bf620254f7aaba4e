"""What a client knows about its worker over all its calls, and what it says while it waits for it.

Said through `logging` (`qda_worker.client`): at level WARNING when a wait begins and each half minute while it lasts,
however many calls wait, and at level INFO when the worker answers again. `qda-client` shows both on stderr.

When a call that was turned away is worth another try. Pure.

Two layers, so that each knows what the other cannot. UNAVAILABLE is tried again by gRPC itself, a few times within a
second (the channel's service config): it alone can pick another worker. What lasts longer is waited for here,
within the call's deadline: a worker that loads its models, drains, restarts, or is overloaded and says until when.
Nobody at a target that never answered is given up after gRPC's tries: a wrong address more often than a late worker.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Final

from qda_worker.client.errors import (
    ClientError,
    DeadlineExceeded,
    NotReachable,
    NotReady,
    Overloaded,
    TlsFailed,
)

# Where waiting is told.
LOG: Final = logging.getLogger("qda_worker.client")

_SILENT: Final = 0.5  # seconds: a shorter wait is worth no word
_TOLD_EACH: Final = 30.0  # seconds
_LATE: Final = (
    5.0  # seconds: a try that had no more ran out of time over the same trouble as the one before it
)


class WorkerAvailability:
    """One client's acquaintance with the worker at its target. Threads may share it: what they race for is a note."""

    def __init__(self, target: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._clock = clock
        self._told = ""
        self._told_at = 0.0
        self.met = False
        """Whether a worker has ever answered."""

    def answered(self) -> None:
        """A worker did what it was asked for."""
        self.met = True
        if self._told:
            self._told = ""
            LOG.info("the worker at %s answers again", self._target)

    def failed(self, failure: ClientError) -> None:
        """A call ended like this."""
        self.met = self.met or not isinstance(failure, NotReachable | DeadlineExceeded)

    def waits(self, failure: ClientError, waited: float, remaining: float) -> None:
        """Somebody has waited because of `failure` and will for `remaining` seconds at most."""
        now = self._clock()
        if waited < _SILENT:
            return
        if failure.reason == self._told and now - self._told_at < _TOLD_EACH:
            return
        self._told, self._told_at = failure.reason, now
        LOG.warning(
            "waiting up to %.0f s for the worker at %s: %s: %s",
            remaining,
            self._target,
            failure.reason,
            failure.message,
        )


class RetryBudget:
    """The tries of one call, which begins anew each time.

    seconds: for all of them. patience: of these, how many a worker may let it wait that is not there or not ready.
    """

    def __init__(
        self,
        contact: WorkerAvailability,
        seconds: float,
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contact = contact
        self._clock = clock
        self._deadline = clock() + seconds
        self._patience = seconds if patience is None else patience
        self._waiting_since: float | None = None
        self._before: ClientError | None = None
        self._given = seconds
        self._count = 0
        self._broken = 0

    def begin(self) -> float:
        """One more try; the seconds that it may take."""
        self._count += 1
        self._given = max(0.0, self._deadline - self._clock())
        return self._given

    def pause(self, failure: ClientError, *, answering: bool = False) -> float | None:
        """Seconds to wait before the next try; None to give up. answering: the worker had begun to answer."""
        self._contact.failed(failure)
        now = self._clock()
        if answering:
            self._waiting_since = None
            self._count = 1
            self._broken += 1
            if self._broken >= MAX_BROKEN_ANSWERS:
                return None
        if self._waiting_since is None:
            self._waiting_since = now
        remaining = self._deadline - now
        met = self._contact.met
        passing = is_transient(failure, met=met)
        if passing:
            remaining = min(remaining, self._waiting_since + self._patience - now)
        pause = retry_pause(failure, self._count, remaining, met=met)
        if pause is not None and passing:
            self._before = failure
            self._contact.waits(failure, now - self._waiting_since, remaining)
        return pause

    def succeeded(self) -> None:
        """The call was answered."""
        self._contact.answered()

    def outcome(self, failure: ClientError) -> ClientError:
        """What the call failed over: the last try's failure, unless that had just no time left to meet the cause."""
        if isinstance(failure, DeadlineExceeded) and self._before is not None and self._given < _LATE:
            return self._before
        return failure


class StreamRetry:
    """The streams of one call, each of which goes on where the last one broke.

    patience: seconds for which they may go on without one result, over a worker that is not there or not ready.
    """

    def __init__(
        self, contact: WorkerAvailability, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._contact = contact
        self._patience = patience
        self._clock = clock
        self._fruitless = 0
        self._waiting_since = clock()

    def pause(self, failure: ClientError, *, fruitful: bool) -> float | None:
        """Seconds to wait before the next stream; None to give up. fruitful: this one brought a result."""
        self._contact.failed(failure)
        now = self._clock()
        if fruitful:
            self._fruitless = 0
        else:
            self._fruitless += 1
        if self._fruitless <= 1:
            self._waiting_since = now
        met = self._contact.met
        passing = is_transient(failure, met=met)
        remaining = self._waiting_since + self._patience - now if passing else math.inf
        pause = resume_pause(failure, self._fruitless, remaining, met=met)
        if pause is not None and passing and self._fruitless:
            self._contact.waits(failure, now - self._waiting_since, remaining)
        return pause


# Tries of one request at a worker that answers RESOURCE_EXHAUSTED; the deadline usually ends them earlier.
MAX_OVERLOADED_TRIES: Final = 30

# Times that a stream is opened at a target that never answered; unary calls have gRPC's own tries.
MAX_STRANGER_TRIES: Final = 5

# Times that an answer may break in its midst before a call that begins anew each time is given up: what
# ends its worker again and again must not do so for an hour.
MAX_BROKEN_ANSWERS: Final = 3

_FIRST_PAUSE: Final = 0.2  # seconds; doubled each time
_LONGEST_PAUSE: Final = 5.0


def is_transient(failure: ClientError, *, met: bool) -> bool:
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
    elif isinstance(failure, NotReady | NotReachable) and is_transient(failure, met=met):
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
