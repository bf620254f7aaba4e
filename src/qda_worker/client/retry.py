"""Decide whether and when a failed call is tried again.

Retries happen on two levels. gRPC itself retries UNAVAILABLE a few times within a second (the channel's service
config), because only gRPC can choose another worker. This module handles what lasts longer, within the call's
deadline: a worker that loads its models, drains, restarts, or is overloaded and states when to retry. A target that
has never answered is given up after gRPC's own attempts: a wrong address is more likely than a late worker.

`RetryBudget` belongs to one call that is repeated as a whole, `StreamRetry` to one call that continues a broken stream
where it ended. `WorkerAvailability` is shared by all calls of a client. None of them sleeps or sends: they return a
delay, and the transports wait in their thread or task. Threads share a `WorkerAvailability` without a lock: its fields
are set in single assignments, and the worst outcome of a race is one log line too many.

Waiting is logged to `qda_worker.client`: at level WARNING when it begins and every 30 seconds, however many calls wait,
and at level INFO when the worker answers again. `qda-client` writes these records to stderr.
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

LOG: Final = logging.getLogger("qda_worker.client")

# Attempts of one request at a worker that answers RESOURCE_EXHAUSTED; usually the deadline comes first.
MAX_OVERLOADED_ATTEMPTS: Final = 30

# Streams that are opened at a target that has never answered. gRPC retries only unary calls by itself.
MAX_UNKNOWN_TARGET_ATTEMPTS: Final = 5

# Responses that may break off before a call that starts from the beginning each time is given up: a request that
# crashes its worker must not crash it again and again for an hour.
MAX_BROKEN_RESPONSES: Final = 3

_FIRST_DELAY: Final = 0.2  # seconds; doubled for each further attempt
_LONGEST_DELAY: Final = 5.0  # seconds

_LOG_AFTER: Final = 0.5  # seconds; shorter waits are not logged
_LOG_INTERVAL: Final = 30.0  # seconds

# Seconds. If an attempt with less time than this exceeds its deadline, the cause is that of the attempt before it.
_SHORT_ATTEMPT: Final = 5.0


class WorkerAvailability:
    """The availability of the worker at one target, as all calls of a client have seen it.

    Attributes:
        has_answered: whether a worker has ever answered at this target.
    """

    def __init__(self, target: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.has_answered = False
        self._target = target
        self._clock = clock
        self._logged_reason = ""
        self._logged_at = 0.0

    def record_success(self) -> None:
        """Record that a worker answered a call."""
        self.has_answered = True
        if self._logged_reason:
            self._logged_reason = ""
            LOG.info("the worker at %s answers again", self._target)

    def record_failure(self, failure: ClientError) -> None:
        """Record a failed call. An error that the worker itself sent, or a lost connection, proves that it is there."""
        silent = isinstance(failure, NotReachable | DeadlineExceeded) and not failure.connection_lost
        self.has_answered = self.has_answered or not silent

    def log_waiting(self, failure: ClientError, waited: float, remaining: float) -> None:
        """Log that a call waits for the worker, unless another call has just logged the same.

        Args:
            failure: why it waits.
            waited: seconds so far.
            remaining: seconds for which it will go on at most.
        """
        now = self._clock()
        if waited < _LOG_AFTER:
            return
        if failure.reason == self._logged_reason and now - self._logged_at < _LOG_INTERVAL:
            return
        self._logged_reason, self._logged_at = failure.reason, now
        LOG.warning(
            "waiting up to %.0f s for the worker at %s: %s: %s",
            remaining,
            self._target,
            failure.reason,
            failure.message,
        )


class RetryBudget:
    """The attempts of one call that starts from the beginning each time, and the time that is left for them."""

    def __init__(
        self,
        availability: WorkerAvailability,
        seconds: float,
        unavailable_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the call's deadline.

        Args:
            availability: shared with the client's other calls.
            seconds: for all attempts together.
            unavailable_seconds: how long of these the call may wait for a worker that is unreachable or not ready;
                None: as long as `seconds`.
            clock: monotonic, in seconds.
        """
        self._availability = availability
        self._clock = clock
        self._deadline = clock() + seconds
        self._unavailable_seconds = seconds if unavailable_seconds is None else unavailable_seconds
        self._waiting_since: float | None = None
        self._waited_for: ClientError | None = None
        self._attempt_seconds = seconds
        self._attempts = 0
        self._broken_responses = 0

    def start_attempt(self) -> float:
        """Count one more attempt and return its timeout in seconds."""
        self._attempts += 1
        self._attempt_seconds = max(0.0, self._deadline - self._clock())
        return self._attempt_seconds

    def next_delay(self, failure: ClientError, *, mid_response: bool = False) -> float | None:
        """Return the seconds to wait before the next attempt; None to give up.

        Args:
            failure: how the last attempt ended.
            mid_response: whether a part of the response had arrived.
        """
        self._availability.record_failure(failure)
        now = self._clock()
        if mid_response:
            self._waiting_since = None
            self._attempts = 1
            self._broken_responses += 1
            if self._broken_responses >= MAX_BROKEN_RESPONSES:
                return None
        if self._waiting_since is None:
            self._waiting_since = now
        remaining = self._deadline - now
        has_answered = self._availability.has_answered
        transient = is_transient(failure, has_answered=has_answered)
        if transient and not failure.connection_lost:
            remaining = min(remaining, self._waiting_since + self._unavailable_seconds - now)
        delay = retry_delay(failure, self._attempts, remaining, has_answered=has_answered)
        if delay is not None and transient:
            self._waited_for = failure
            self._availability.log_waiting(failure, now - self._waiting_since, remaining)
        return delay

    def record_success(self) -> None:
        """Record that the call was answered."""
        self._availability.record_success()

    def final_error(self, failure: ClientError) -> ClientError:
        """Return the error to raise after the last attempt.

        That is the attempt's own failure, unless it ran out of time because an earlier one had waited for the worker.
        """
        timed_out_early = self._attempt_seconds < _SHORT_ATTEMPT
        if isinstance(failure, DeadlineExceeded) and self._waited_for is not None and timed_out_early:
            return self._waited_for
        return failure


class StreamRetry:
    """The streams of one call, each of which continues where the one before it broke."""

    def __init__(
        self,
        availability: WorkerAvailability,
        unavailable_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the wait for the first result.

        Args:
            availability: shared with the client's other calls.
            unavailable_seconds: how long the call may go on without any result while the worker is unreachable or not
                ready.
            clock: monotonic, in seconds.
        """
        self._availability = availability
        self._unavailable_seconds = unavailable_seconds
        self._clock = clock
        self._streams_without_result = 0
        self._waiting_since = clock()

    def next_delay(self, failure: ClientError, *, made_progress: bool) -> float | None:
        """Return the seconds to wait before the next stream; None to give up.

        Args:
            failure: how the stream ended.
            made_progress: whether it had brought a result.
        """
        self._availability.record_failure(failure)
        now = self._clock()
        if made_progress:
            self._streams_without_result = 0
        else:
            self._streams_without_result += 1
        if self._streams_without_result <= 1:
            self._waiting_since = now
        has_answered = self._availability.has_answered
        transient = is_transient(failure, has_answered=has_answered)
        remaining = self._waiting_since + self._unavailable_seconds - now if transient else math.inf
        delay = stream_retry_delay(
            failure, self._streams_without_result, remaining, has_answered=has_answered
        )
        if delay is not None and transient and self._streams_without_result:
            self._availability.log_waiting(failure, now - self._waiting_since, remaining)
        return delay


def is_transient(failure: ClientError, *, has_answered: bool) -> bool:
    """Return whether waiting for the worker can help.

    It can if the worker is not ready, if it ended the call or the connection (`connection_lost`), or if it is
    unreachable and has answered before (`has_answered`).
    """
    if failure.connection_lost:
        return not isinstance(failure, TlsFailed)
    if isinstance(failure, NotReady):
        return not failure.lasting
    return has_answered and isinstance(failure, NotReachable) and not isinstance(failure, TlsFailed)


def retry_delay(failure: ClientError, attempts: int, remaining: float, *, has_answered: bool) -> float | None:
    """Return the seconds to wait before the next attempt of a whole call; None to give up.

    The delay is the one that the worker requests, but at least that of the exponential backoff.

    Args:
        failure: how the last attempt ended.
        attempts: number of attempts so far, at least 1.
        remaining: seconds for which the call may be tried again.
        has_answered: whether a worker has ever answered at this target.
    """
    requested: float | None = None
    if isinstance(failure, Overloaded) and attempts < MAX_OVERLOADED_ATTEMPTS:
        requested = failure.retry_after
    elif is_transient(failure, has_answered=has_answered):
        requested = (failure.retry_after or 0.0) if isinstance(failure, NotReady) else 0.0
    if requested is None:
        return None
    delay = max(requested, _backoff(attempts - 1))
    return delay if delay < remaining else None


def stream_retry_delay(
    failure: ClientError, streams_without_result: int, remaining: float, *, has_answered: bool
) -> float | None:
    """Return the seconds to wait before a broken stream is continued; None to give up.

    Args:
        failure: how the last stream ended.
        streams_without_result: number of streams in a row without a result, up to and including the last one.
        remaining: seconds for which the call may go on without any result.
        has_answered: whether a worker has ever answered at this target.
    """
    if isinstance(failure, DeadlineExceeded):
        return _backoff(0) if streams_without_result == 0 else None
    if type(failure) is NotReachable and not has_answered:
        if streams_without_result >= MAX_UNKNOWN_TARGET_ATTEMPTS:
            return None
        return _backoff(max(streams_without_result - 1, 0))
    return retry_delay(failure, max(streams_without_result, 1), remaining, has_answered=has_answered)


def _backoff(retries: int) -> float:
    return min(_FIRST_DELAY * 2.0 ** min(retries, 10), _LONGEST_DELAY)
