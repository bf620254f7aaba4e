"""Types of grpc.aio and functions that all interceptors share: look up a method, and wrap its handler.

gRPC runs coroutines and asynchronous generators differently, so a wrapped handler stays of the same kind.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from qda_worker.observability.call_record import QDA_METHOD_PREFIX

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]
# Returns a context manager that is entered for the time in which a handler runs.
CallScope: TypeAlias = Callable[[Context], AbstractContextManager[None]]
# Parses a request or serializes a response; None passes bytes through.
Codec: TypeAlias = Callable[[Any], Any] | None


@runtime_checkable
class EarlyInterceptor(Protocol):
    """An interceptor that can refuse a call before its request is read. The HTTP port uses it; gRPC reads first."""

    def admit_early(self, method: str, context: Context) -> None:
        """Record what is known of the call, and refuse it if it would be refused now, whatever its request is.

        The handler makes the same decision when the request has arrived: nothing is counted or charged here.

        Args:
            method: as `/package.Service/Method`, which exists.
            context: of the call, which is the current one.

        Raises:
            WorkerError: the call is refused.
        """


# The method name of a call to a method that this server does not have. Callers can invent any number of names, which
# must not become values of a metric (gRPC proposal A66).
UNKNOWN_METHOD: Final = "other"

# By (requests are a stream, responses are a stream): the attribute that holds the function, and the factory.
_HANDLER_TYPES: Final = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def is_qda_method(method: str) -> bool:
    """Return whether a method, as `/package.Service/Method`, is of `qda.v1`."""
    return method.startswith(f"/{QDA_METHOD_PREFIX}")


def find_method(method: str) -> MethodDescriptor:
    """Return the descriptor of a method, as `/package.Service/Method`, whose stubs are imported."""
    service, _, name = method.lstrip("/").rpartition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def handler_function(handler: Handler) -> Callable[..., Any]:
    """Return the function that a handler calls; the type of the handler decides which attribute holds it."""
    attribute, _ = _HANDLER_TYPES[handler.request_streaming, handler.response_streaming]
    function: Callable[..., Any] = getattr(handler, attribute)
    return function


def replace_handler(
    handler: Handler, function: Callable[..., Any], *, parse: Codec, serialize: Codec
) -> Handler:
    """Return a handler of the same type with another function and other codecs."""
    _, make_handler = _HANDLER_TYPES[handler.request_streaming, handler.response_streaming]
    new_handler: Handler = make_handler(function, request_deserializer=parse, response_serializer=serialize)
    return new_handler


def wrap_handler(
    handler: Handler, scope: CallScope, *, parse: Codec = None, serialize: Codec = None
) -> Handler:
    """Return the same handler, run inside a scope.

    Args:
        handler: the handler, which must be a coroutine function or an asynchronous generator function.
        scope: Entered before the handler runs and left after it; every exception of the handler passes through it.
        parse: Replaces the handler's parser of requests.
        serialize: Replaces the handler's serializer of responses.

    Raises:
        TypeError: when the handler is synchronous: it would block the event loop.
    """
    function = handler_function(handler)
    if inspect.isasyncgenfunction(function):
        wrapped: Callable[..., Any] = _wrap_generator(function, scope)
    elif inspect.iscoroutinefunction(function):
        wrapped = _wrap_coroutine(function, scope)
    else:
        raise TypeError(f"the handler is not asynchronous and would block the event loop: {function}")
    return replace_handler(
        handler,
        wrapped,
        parse=parse or handler.request_deserializer,
        serialize=serialize or handler.response_serializer,
    )


def _wrap_coroutine(function: Callable[..., Any], scope: CallScope) -> Callable[..., Any]:
    async def run(request: Any, context: Context) -> Any:
        with scope(context):
            return await function(request, context)

    return run


def _wrap_generator(function: Callable[..., Any], scope: CallScope) -> Callable[..., AsyncIterator[Any]]:
    async def run(request: Any, context: Context) -> AsyncIterator[Any]:
        with scope(context):
            async with aclosing(function(request, context)) as responses:
                async for response in responses:
                    yield response

    return run
