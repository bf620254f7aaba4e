"""A bound on the calls that are under way at once: beyond it a call is refused at once, with the reason and a wait.

Stands inside the boundary, which makes a status of the refusal. Health and reflection are never refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from qda_worker.errors import TooManyCalls
from qda_worker.interceptors.base import Context, Continuation, Handler, is_ours, wrapped


class CallLimit(grpc.aio.ServerInterceptor):
    """Lets `most` calls of our services run at once, over all connections. Lives on the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way = 0
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """The handler of the method, inside the limit."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not is_ours(method):
            return handler
        if method not in self._wrapped:
            self._wrapped[method] = wrapped(handler, self._counted)
        return self._wrapped[method]

    @contextmanager
    def _counted(self, context: Context) -> Iterator[None]:
        if self._under_way >= self._most:
            raise TooManyCalls(f"{self._under_way} calls are under way, and no more are taken at once")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
