"""The one place through which every call of `qda.v1` comes in and goes out.

In: a message that cannot be parsed is an answer with a reason, not gRPC's INTERNAL. Out: an error becomes a status with
its details, and a response that would pass the limit of a message is refused with a reason, where gRPC would break the
call. So services just raise, and forget about all three.
"""

import asyncio
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf import descriptor_pool
from google.rpc import status_pb2

from qda_worker.conversion.parse_errors import guarded_parser
from qda_worker.conversion.rpc_status import INTERNAL, pushback, status_of
from qda_worker.errors import ArgumentInvalid, WorkerError
from qda_worker.interceptors.base import Continuation, is_ours
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.observability.call_record import current_call

STATUS_TRAILER: Final = "grpc-status-details-bin"
PUSHBACK_TRAILER: Final = "grpc-retry-pushback-ms"

Context = grpc.aio.ServicerContext[Any, Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of our own services; health and reflection pass as they are.

    most_bytes: of a response message.
    """

    def __init__(
        self, log: structlog.typing.FilteringBoundLogger, most_bytes: int = MAX_RESPONSE_BYTES
    ) -> None:
        self._log = log
        self._most_bytes = most_bytes
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._serialise: dict[str, Callable[[Any], bytes]] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler of the method, inside the boundary; None for a method that there is not."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not is_ours(method):
            return handler
        if method not in self._wrapped:
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(
        self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]"
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        service, _, name = method.lstrip("/").rpartition("/")
        descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        parse = guarded_parser(_parser_of(handler), descriptor.input_type)
        self._serialise[method] = _serializer_of(handler)
        forms: dict[tuple[bool, bool], tuple[Any, Any]] = {
            (False, False): (self._unary, grpc.unary_unary_rpc_method_handler),
            (False, True): (self._stream, grpc.unary_stream_rpc_method_handler),
            (True, True): (self._stream, grpc.stream_stream_rpc_method_handler),
        }
        run, make = forms[handler.request_streaming, handler.response_streaming]
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_stream
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            run(method, behaviour),
            request_deserializer=parse,
            response_serializer=None,  # done below, so that what is too large is known in time
        )
        return wrapped

    def _unary(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, context: Context) -> Any:
            try:
                return self._serialised(method, await behaviour(_parsed(request), context))
            except Exception as error:  # noqa: BLE001  # every error is answered by its status
                await self._end(error, context, method)

        return answer

    def _stream(
        self, method: str, behaviour: Callable[..., AsyncGenerator[Any, None]]
    ) -> Callable[..., Awaitable[None]]:
        async def answer(request: Any, context: Context) -> None:
            try:
                incoming = Parsed(request) if isinstance(request, AsyncIterator) else _parsed(request)
                # Closed at once when the call is cut off: what it has in a queue leaves it then.
                async with aclosing(behaviour(incoming, context)) as responses:
                    async for response in responses:
                        await _write(context, self._serialised(method, response))
            except Exception as error:  # noqa: BLE001  # as above
                await self._end(error, context, method)

        return answer

    def _serialised(self, method: str, response: Any) -> bytes:
        """The response as it travels. Raises ArgumentInvalid where no message may be so large."""
        message = self._serialise[method](response)
        if len(message) > self._most_bytes:
            raise ArgumentInvalid(
                f"the response has {len(message)} bytes, and at most {self._most_bytes} may be sent at once",
                "send fewer or shorter texts at a time",
            )
        return message

    async def _end(self, error: Exception, context: Context, method: str) -> NoReturn:
        """End the call with the error's status. Raises always."""
        status = status_of(error)
        if not isinstance(error, WorkerError):
            # The error's own message stays out of the log: it may hold a text.
            self._log.error(
                "call.bug",
                method=method.lstrip("/"),
                error=type(error).__name__,
                trace="".join(traceback.format_tb(error.__traceback__)),
            )
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        current_call().reason = error.reason if isinstance(error, WorkerError) else INTERNAL
        await context.abort(code, status.message, trailers(status, pushback(error)))
        raise AssertionError("abort always raises")


def _parser_of(handler: "grpc.RpcMethodHandler[Any, Any]") -> Callable[[bytes], Any]:
    if handler.request_deserializer is None:
        raise TypeError("a handler of qda.v1 without a parser: not made by the generated code")
    return handler.request_deserializer


def _serializer_of(handler: "grpc.RpcMethodHandler[Any, Any]") -> Callable[[Any], bytes]:
    if handler.response_serializer is None:
        raise TypeError("a handler of qda.v1 without a serializer: not made by the generated code")
    return handler.response_serializer


def trailers(
    status: status_pb2.Status, pushback_milliseconds: int | None
) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata of a status, with what gRPC's own retries shall do."""
    found: list[tuple[str, str | bytes]] = [(STATUS_TRAILER, status.SerializeToString())]
    if pushback_milliseconds is not None:
        found.append((PUSHBACK_TRAILER, str(pushback_milliseconds)))
    return tuple(found)


def _parsed(request: Any) -> Any:
    if isinstance(request, WorkerError):
        raise request
    return request


async def _write(context: Context, response: bytes) -> None:
    """Sends one response, when flow control lets it go. A caller that has gone is a call that was cancelled."""
    try:
        await context.write(response)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


class Parsed:
    """A stream of requests. One that could not be parsed is raised as its WorkerError; the next may be asked for."""

    def __init__(self, requests: AsyncIterator[Any]) -> None:
        self._requests = requests

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return _parsed(await anext(self._requests))
