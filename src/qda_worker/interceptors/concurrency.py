"""A limit on the calls in progress, over all connections.

A call beyond the limit is refused at once, with a reason and a delay for the retry; it does not wait. The refusal is a
`WorkerError` that `ErrorInterceptor`, the next one outside, turns into a status. Calls to health and reflection are not
counted and never refused. A call counts until its handler has ended, however it ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from qda_worker.errors import TooManyCalls
from qda_worker.interceptors.base import Context, Continuation, Handler, is_qda_method, wrap_handler


class CallLimit(grpc.aio.ServerInterceptor):
    """Limits the `qda.v1` calls in progress to `max_calls`. The event loop alone uses the counter."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._in_progress = 0
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
        if self._in_progress >= self._max_calls:
            raise TooManyCalls(
                f"{self._in_progress} calls are in progress, which is the limit of this worker"
            )
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1
