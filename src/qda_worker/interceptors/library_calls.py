"""Requests to health and reflection that cannot be parsed.

These services come from libraries, and gRPC ends a call whose parser raises with UNKNOWN and a traceback in the log:
any client that reaches the port could fill the log. Here such a request is INVALID_ARGUMENT with details, as for
`qda.v1`. Nothing else about these calls changes.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from qda_worker.conversion.parse_errors import deferring_parser
from qda_worker.errors import WorkerError
from qda_worker.interceptors.base import (
    Context,
    Continuation,
    Handler,
    find_method,
    handler_function,
    is_qda_method,
    replace_handler,
)
from qda_worker.interceptors.errors import abort_call, parsed_input


class LibraryCallInterceptor(grpc.aio.ServerInterceptor):
    """Handles parse errors of services that are not of `qda.v1`."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the handler of the method with its parse errors handled; None for a method that does not exist."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or is_qda_method(method) or handler.request_deserializer is None:
            return handler
        if method not in self._handlers:
            self._handlers[method] = _wrap(method, handler, handler.request_deserializer)
        return self._handlers[method]


def _wrap(method: str, handler: Handler, parse: Callable[[bytes], Any]) -> Handler:
    function = handler_function(handler)
    is_generator = inspect.isasyncgenfunction(function)
    return replace_handler(
        handler,
        _wrap_generator(function) if is_generator else _wrap_coroutine(function),
        parse=deferring_parser(parse, find_method(method).input_type),
        serialize=handler.response_serializer,
    )


def _wrap_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(request: Any, context: Context) -> Any:
        try:
            parsed = await parsed_input(request)
        except WorkerError as error:
            await abort_call(error, context)
        return await function(parsed, context)

    return run


def _wrap_generator(function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for response in function(await parsed_input(request), context):
                yield response
        except WorkerError as error:
            await abort_call(error, context)

    return run
