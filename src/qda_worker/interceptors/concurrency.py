"""A limit on the calls in progress, over all connections, and on the share of one caller.

A call beyond a limit is refused at once, with a reason and a delay for the retry; it does not wait. The refusal is a
`WorkerError` that `ErrorInterceptor`, the next one outside, turns into a status. Calls to health and reflection are not
counted and never refused. A call counts until its handler has ended, however it ends.

One caller may have `MAX_CALLER_SHARE` of the calls, so that its abandoned streams do not block others. A caller is
identified by what it cannot choose itself: the name in its client certificate, else its host.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc

from qda_worker.errors import TooManyCalls
from qda_worker.interceptors.base import Context, Continuation, Handler, is_qda_method, wrap_handler
from qda_worker.observability.call_record import current_call

# Share of the limit that the calls of one caller may use; the rest is reserved for others.
MAX_CALLER_SHARE: Final = 0.8


class CallLimit(grpc.aio.ServerInterceptor):
    """Limits the `qda.v1` calls in progress to `max_calls`. Only the event loop uses the counters, without a lock."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        # Rounded up, so that a limit of one call lets one call in.
        self._max_caller_calls = math.ceil(max_calls * MAX_CALLER_SHARE)
        self._in_progress: Counter[str] = Counter()  # by caller; only callers with calls
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the handler of the method, inside the limit."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not is_qda_method(method):
            return handler
        if method not in self._handlers:
            self._handlers[method] = wrap_handler(handler, self._count)
        return self._handlers[method]

    @contextmanager
    def _count(self, context: Context) -> Iterator[None]:
        caller = current_call().peer_name or peer_host(context.peer())
        total, own = self._in_progress.total(), self._in_progress[caller]
        if total >= self._max_calls:
            raise TooManyCalls(f"{total} calls are in progress, which is the limit of this worker")
        if own >= self._max_caller_calls:
            raise TooManyCalls(
                f"{own} calls of this host or certificate are in progress, which is its share of the "
                f"{self._max_calls} of this worker",
                "end streams that are not used, try again with backoff, or raise the worker's --max-calls",
            )
        self._in_progress[caller] += 1
        try:
            yield
        finally:
            self._in_progress[caller] -= 1
            if not self._in_progress[caller]:
                del self._in_progress[caller]


def peer_host(peer: str) -> str:
    """Return the host of a gRPC peer such as `ipv4:10.0.0.1:50000`; other kinds of peers unchanged."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
