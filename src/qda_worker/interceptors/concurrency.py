"""The limit on the calls of `qda.v1` in progress (`access.concurrent_calls`), for gRPC.

The refusal is a `WorkerError` that `ErrorInterceptor`, outside of this one, turns into a status. Calls to health and
reflection are not counted and never refused. A call counts until its handler has ended, however it ends.
"""

from contextlib import AbstractContextManager

import grpc

from qda_worker.access.concurrent_calls import ConcurrentCalls
from qda_worker.interceptors.base import Context, Continuation, Handler, is_qda_method, wrap_handler
from qda_worker.observability.call_record import current_call


class CallLimit(grpc.aio.ServerInterceptor):
    """Counts the `qda.v1` calls in `calls`, and refuses those beyond its limits."""

    def __init__(self, calls: ConcurrentCalls) -> None:
        self._calls = calls
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

    def admit_early(self, method: str, _context: Context) -> None:
        """Refuse a call beyond the limits; see `EarlyInterceptor`."""
        if is_qda_method(method):
            self._calls.check(current_call().charged_to)

    def _count(self, _context: Context) -> AbstractContextManager[None]:
        return self._calls.count(current_call().charged_to)
