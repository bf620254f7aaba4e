"""A limit on the calls in progress, over all connections and transports, and on those of one caller.

A call beyond a limit is refused at once, with a reason and a delay for the retry; it does not wait. One caller may have
`MAX_CALLER_SHARE` of the calls, so that its abandoned streams do not block others, or fewer with `--max-caller-calls`.
Only the event loop uses the counters, without a lock.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from qda_worker.errors import CallerLimited, TooManyCalls

# Share of the limit that the calls of one caller may use; the rest is reserved for others.
MAX_CALLER_SHARE: Final = 0.8


class ConcurrentCalls:
    """Counts the calls in progress."""

    def __init__(self, max_calls: int, max_caller_calls: int | None = None) -> None:
        """Create the limit.

        Args:
            max_calls: the limit of all calls.
            max_caller_calls: the limit of one caller; None: its share of all calls.
        """
        self._max_calls = max_calls
        # Rounded up, so that a limit of one call lets one call in.
        self._max_share = math.ceil(max_calls * MAX_CALLER_SHARE)
        self._max_caller_calls = max_caller_calls
        self._in_progress: Counter[str] = Counter()  # by caller; only callers with calls

    @contextmanager
    def count(self, caller: str) -> Iterator[None]:
        """Count one call while the block runs.

        Args:
            caller: whom the call is charged to, see `CallRecord.charged_to`.

        Raises:
            TooManyCalls: the limit of all calls, or the caller's share of it, is reached.
            CallerLimited: the limit of one caller is reached.
        """
        self.check(caller)
        self._in_progress[caller] += 1
        try:
            yield
        finally:
            self._in_progress[caller] -= 1
            if not self._in_progress[caller]:
                del self._in_progress[caller]

    def check(self, caller: str) -> None:
        """Refuse a further call of a caller if `count` would, without counting it. See `count` for what it raises."""
        total, own = self._in_progress.total(), self._in_progress[caller]
        if self._max_caller_calls is not None and own >= self._max_caller_calls:
            raise CallerLimited(
                f"{own} calls of this caller are in progress, which is the limit of one caller"
            )
        if total >= self._max_calls:
            raise TooManyCalls(f"{total} calls are in progress, which is the limit of this worker")
        if own >= self._max_share:
            raise TooManyCalls(
                f"{own} calls of this caller are in progress, which is its share of the "
                f"{self._max_calls} of this worker",
                "end streams that are not used, try again with backoff, or raise the worker's --max-calls",
            )
