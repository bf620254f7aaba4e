"""The unary calls of one thread that are in progress at the same time, for the sync client.

Each call is a gRPC future. When it ends, a thread of gRPC's puts it into a queue, from which the calling thread takes
it while it waits for any of the responses. So a refused request is sent again as soon as its delay is over, also while
the thread waits for the response to an earlier request, as in the async client. No other thread is started.
`SyncTransport.close` wakes a thread that only waits for a delay.
"""

import heapq
import math
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

import grpc

from qda_worker.client.errors import CallCancelled, ClientError
from qda_worker.client.retry import RetryBudget

# Seconds. The main thread must not wait for longer in one piece: a signal (Ctrl-C) that another thread of the process
# receives does not wake it, and Python handles it only when it runs again.
WAIT_PIECE: Final = 0.1

Q = TypeVar("Q")
S = TypeVar("S")


class PendingCall(Generic[Q, S]):
    """A request in progress.

    Attributes:
        response: None until the request was answered.
        failure: why it was finally not answered.
    """

    def __init__(self, request: Q, budget: RetryBudget) -> None:
        self.response: S | None = None
        self.failure: ClientError | None = None
        self.request = request
        self.budget = budget
        self.future: Any = None  # a grpc.CallFuture[S], a class that exists only in the type stubs


class PendingCalls(Generic[Q, S]):
    """All requests that one thread has in progress."""

    def __init__(
        self, send: Callable[[Q, float], Any], convert_error: Callable[[grpc.RpcError], ClientError]
    ) -> None:
        """Begin without a request.

        Args:
            send: sends a request with a timeout in seconds and returns its future; raises CallCancelled if the client
                is closed.
            convert_error: returns the client's error for one of gRPC's.
        """
        self._send_request = send
        self._convert_error = convert_error
        self._ended: SimpleQueue[PendingCall[Q, S] | None] = SimpleQueue()
        self._delayed: list[tuple[float, int, PendingCall[Q, S]]] = []
        self._retries = 0

    def start(self, request: Q, budget: RetryBudget) -> PendingCall[Q, S]:
        """Send a request."""
        call: PendingCall[Q, S] = PendingCall(request, budget)
        self._send(call)
        return call

    def result(self, call: PendingCall[Q, S]) -> S:
        """Wait for the response to a request and return it. Other requests are sent again meanwhile, if they need it.

        Raises:
            ClientError: when the call fails.
        """
        while call.response is None and call.failure is None:
            self._wait_for_next()
        if call.response is None:
            assert call.failure is not None
            raise call.failure
        return call.response

    def wake(self) -> None:
        """End the waiting of the calling thread, because the client was closed; called by another thread."""
        self._ended.put(None)

    def read_arrived(self, calls: Iterable[PendingCall[Q, S]]) -> None:
        """Read the responses to these requests that have arrived, without waiting.

        The queue is not asked: Ctrl-C may have interrupted the reading of a call that was taken from it.
        """
        for call in calls:
            if call.response is None and call.failure is None and call.future.done():
                self._read(call)

    def _wait_for_next(self) -> None:
        """Wait until a call ends or the delay of a refused one is over, or for a moment."""
        due = self._delayed[0][0] if self._delayed else math.inf
        try:
            call = self._ended.get(timeout=min(WAIT_PIECE, max(0.0, due - time.monotonic())))
        except Empty:
            if time.monotonic() >= due:
                self._send(heapq.heappop(self._delayed)[2])
            return
        if call is None:
            raise CallCancelled("the client was closed")
        self._read(call)

    def _read(self, call: PendingCall[Q, S]) -> None:
        try:
            response: S = call.future.result()
        except grpc.FutureCancelledError as error:
            call.failure = CallCancelled("the call was cancelled")
            call.failure.__cause__ = error
        except grpc.RpcError as error:
            failure = self._convert_error(error)
            delay = call.budget.next_delay(failure)
            if delay is None:
                call.failure = call.budget.final_error(failure)
                call.failure.__cause__ = error
                return
            self._retries += 1  # keeps the heap from comparing calls
            heapq.heappush(self._delayed, (time.monotonic() + delay, self._retries, call))
        else:
            call.budget.record_success()
            call.response = response

    def _send(self, call: PendingCall[Q, S]) -> None:
        call.future = self._send_request(call.request, call.budget.start_attempt())
        call.future.add_done_callback(lambda _: self._ended.put(call))
