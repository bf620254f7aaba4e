"""Calls to the libraries' own services, health and reflection, whose requests cannot be parsed.

grpc answers what a parser raises with UNKNOWN and writes a trace into the log: anybody who reaches the port could fill
the log with them. Here such a request is INVALID_ARGUMENT, as it is for our own services.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NoReturn

import grpc
from google.protobuf import descriptor_pool

from qda_worker.conversion.parse_errors import guarded_parser
from qda_worker.conversion.rpc_status import status_of
from qda_worker.errors import WorkerError
from qda_worker.interceptors.base import Continuation, is_ours
from qda_worker.interceptors.errors import Context, Parsed, trailers

_MAKERS: Final[dict[tuple[bool, bool], Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class ForeignCalls(grpc.aio.ServerInterceptor):
    """Guards the handlers of services that are not of `qda.v1`, and changes nothing else about them."""

    def __init__(self) -> None:
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler of the method, guarded; None for a method that there is not."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or is_ours(method) or handler.request_deserializer is None:
            return handler
        if method not in self._wrapped:
            self._wrapped[method] = _guarded(method, handler)
        return self._wrapped[method]


def _guarded(method: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> "grpc.RpcMethodHandler[Any, Any]":
    service, _, name = method.lstrip("/").rpartition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    assert handler.request_deserializer is not None
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
    guarded: grpc.RpcMethodHandler[Any, Any] = _MAKERS[handler.request_streaming, handler.response_streaming](
        _streamed(behaviour) if inspect.isasyncgenfunction(behaviour) else _awaited(behaviour),
        request_deserializer=guarded_parser(handler.request_deserializer, descriptor.input_type),
        response_serializer=handler.response_serializer,
    )
    return guarded


def _awaited(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, context: Context) -> Any:
        if isinstance(request, WorkerError):
            await _refuse(request, context)
        return await behaviour(request, context)

    return answer


def _streamed(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        requests = Parsed(request) if isinstance(request, AsyncIterator) else request
        try:
            if isinstance(requests, WorkerError):
                raise requests
            async for response in behaviour(requests, context):
                yield response
        except WorkerError as error:
            await _refuse(error, context)

    return answer


async def _refuse(error: WorkerError, context: Context) -> NoReturn:
    """Raises always."""
    status = status_of(error)
    await context.abort(grpc.StatusCode[error.status], status.message, trailers(status, None))
    raise AssertionError("abort always raises")
