"""Handlers of gRPC with something around them: what several interceptors need, written once.

Which methods are ours, and under which name others are counted.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from typing import Any, Final, TypeAlias

import grpc

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
LeaseDeps: TypeAlias = Callable[[Context], AbstractContextManager[None]]
Codec: TypeAlias = Callable[[Any], Any] | None

_MAKERS: Final = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def wrapped(handler: Handler, around: LeaseDeps, *, parse: Codec = None, serialise: Codec = None) -> Handler:
    """The same handler inside `around`, which sees every exception, and with other codecs if they are given.

    Coroutines stay coroutines and generators generators: gRPC runs each kind differently.
    """
    name, make = _MAKERS[handler.request_streaming, handler.response_streaming]
    behaviour = getattr(handler, name)
    if inspect.isasyncgenfunction(behaviour):
        inside: Any = _stream(behaviour, around)
    elif inspect.iscoroutinefunction(behaviour):
        inside = _coroutine(behaviour, around)
    else:
        raise TypeError(f"a handler that is not asynchronous would hold up every other call: {behaviour}")
    made: Handler = make(
        inside,
        request_deserializer=parse or handler.request_deserializer,
        response_serializer=serialise or handler.response_serializer,
    )
    return made


def _coroutine(behaviour: Callable[..., Any], around: LeaseDeps) -> Callable[..., Any]:
    async def answer(request: Any, context: Context) -> Any:
        with around(context):
            return await behaviour(request, context)

    return answer


def _stream(behaviour: Callable[..., Any], around: LeaseDeps) -> Callable[..., AsyncIterator[Any]]:
    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        with around(context):
            async with aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    yield response

    return answer


Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]

_OURS: Final = "/qda.v1."
# What a method is called that this server does not have: a caller may make up any number of names (gRPC
# A66).
OTHER: Final = "other"


def is_ours(method: str) -> bool:
    """Whether a method, as `/package.Service/Method`, is of `qda.v1`."""
    return method.startswith(_OURS)
