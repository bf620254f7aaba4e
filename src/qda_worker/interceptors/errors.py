"""Errors of `qda.v1` calls as statuses with details.

Handlers raise; only this module ends a `qda.v1` call with an error.

Three kinds of errors are handled here:

- A request that cannot be parsed. gRPC would end the call with INTERNAL, so the parser never raises
  (`deferring_parser`), and `parsed_input` raises instead of it: INVALID_ARGUMENT with the field at fault.
- An exception of the handler. A `WorkerError` becomes its status. Any other exception is a bug: it becomes INTERNAL,
  and its traceback goes to the log as "call.bug", without its message, which may contain text of the request.
- A response beyond the message limit. gRPC would break the call without a reason. So responses are serialized here and
  not by gRPC, and the size is checked before sending.

A call that is cancelled passes through as `CancelledError`.

Requests that are long or malformed are parsed in two threads of their own (`_PARSER_THREADS`), before the handler
runs: neither the event loop nor the threads that build responses wait for them.
"""

import asyncio
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.rpc import status_pb2

from qda_worker.conversion.parse_errors import Deferred, deferring_parser
from qda_worker.conversion.rpc_status import INTERNAL, build_status, retry_pushback, status_code
from qda_worker.errors import ArgumentInvalid, StreamIdle, WorkerError
from qda_worker.interceptors.base import (
    Context,
    Continuation,
    Handler,
    find_method,
    handler_function,
    is_qda_method,
    replace_handler,
)
from qda_worker.limits import FIRST_PART_SECONDS, MAX_RESPONSE_BYTES, NEXT_PART_SECONDS
from qda_worker.observability.call_record import current_call

STATUS_TRAILER: Final = "grpc-status-details-bin"
PUSHBACK_TRAILER: Final = "grpc-retry-pushback-ms"

# What a read returns at the end of a stream.
_END: Final = object()

# Parses requests that are long or malformed; the threads start with the first of them.
_PARSER_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="parse")


@dataclass(frozen=True, slots=True)
class IdleLimits:
    """How long a stream of requests may be silent, in seconds.

    Attributes:
        first: until its first message.
        next: until each further one, while no answer is being computed.
    """

    first: float = FIRST_PART_SECONDS
    next: float = NEXT_PART_SECONDS


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns errors of `qda.v1` methods into statuses. Health and reflection pass unchanged.

    Args:
        log: Receives "call.bug".
        max_response_bytes: the limit of one response message.
        idle_limits: how long a stream of requests may be silent.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        idle_limits: IdleLimits | None = None,
    ) -> None:
        self._log = log
        self._idle_limits = idle_limits or IdleLimits()
        self._max_response_bytes = max_response_bytes
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the handler of the method with its errors handled; None for a method that does not exist."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not is_qda_method(method):
            return handler
        if method not in self._handlers:
            self._handlers[method] = self._wrap(method, handler)
        return self._handlers[method]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        parse, serialize = handler.request_deserializer, handler.response_serializer
        if parse is None or serialize is None:
            raise TypeError(
                f"the handler of {method} has no parser or serializer: not made by the generated code"
            )
        function = handler_function(handler)
        wrap = self._wrap_stream if handler.response_streaming else self._wrap_unary
        return replace_handler(
            handler,
            wrap(method, function, serialize),
            parse=deferring_parser(parse, find_method(method).input_type),
            serialize=None,  # the wrapped function returns bytes
        )

    def _wrap_unary(
        self, method: str, function: Callable[..., Awaitable[Any]], serialize: Callable[[Any], bytes]
    ) -> Callable[..., Awaitable[Any]]:
        async def run(request: Any, context: Context) -> Any:
            try:
                response = await function(await parsed_input(request, self._idle_limits), context)
                return self._serialize(serialize, response)
            except Exception as error:  # noqa: BLE001  # every error becomes a status
                await self._abort(error, context, method)

        return run

    def _wrap_stream(
        self,
        method: str,
        function: Callable[..., AsyncGenerator[Any, None]],
        serialize: Callable[[Any], bytes],
    ) -> Callable[..., Awaitable[Any]]:
        async def run(request: Any, context: Context) -> None:
            try:
                # Closed as soon as the call is cancelled, so that its texts leave the queue at once.
                async with aclosing(
                    function(await parsed_input(request, self._idle_limits), context)
                ) as responses:
                    async for response in responses:
                        await _write(context, self._serialize(serialize, response))
            except Exception as error:  # noqa: BLE001  # every error becomes a status
                await self._abort(error, context, method)

        return run

    def _serialize(self, serialize: Callable[[Any], bytes], response: Any) -> bytes:
        message = serialize(response)
        if len(message) > self._max_response_bytes:
            raise ArgumentInvalid(
                f"the response has {len(message)} bytes; at most {self._max_response_bytes} are allowed",
                "send fewer or shorter texts at a time",
            )
        return message

    async def _abort(self, error: Exception, context: Context, method: str) -> NoReturn:
        if not isinstance(error, WorkerError):
            # Only the type and the traceback: the message of an unknown error may contain text of the request.
            self._log.error(
                "call.bug",
                method=method.lstrip("/"),
                error=type(error).__name__,
                trace="".join(traceback.format_tb(error.__traceback__)),
            )
        current_call().reason = error.reason if isinstance(error, WorkerError) else INTERNAL
        await abort_call(error, context)


async def abort_call(error: Exception, context: Context) -> NoReturn:
    """End a call with the status of an error, its details, and what gRPC's own retries should do.

    Raises:
        AbortError: always.
    """
    status = build_status(error)
    await context.abort(status_code(status), status.message, build_trailers(status, retry_pushback(error)))
    raise AssertionError("abort always raises")


async def parsed_input(request: Any, idle_limits: IdleLimits | None = None) -> Any:
    """Return the argument for a handler from what the parser of `deferring_parser` returned.

    Args:
        request: a message, a Deferred one in its place, or the iterator of a stream of those.
        idle_limits: for a stream; None for none.

    Raises:
        WorkerError: in place of a message that could not be parsed; from a stream when that message is read.
    """
    if isinstance(request, AsyncIterator):
        return _ParsedRequests(request, idle_limits)
    return await _parse_deferred(request)


class _ParsedRequests:
    """The requests of a stream.

    One that could not be parsed raises its error; the stream can be read on after it. Silence beyond the limits raises
    StreamIdle. It is not silence if the client waits for answers that are still being computed.
    """

    def __init__(self, requests: AsyncIterator[Any], idle_limits: IdleLimits | None) -> None:
        self._requests = requests
        self._idle_limits = idle_limits
        self._limit = None if idle_limits is None else idle_limits.first

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        request = await self._read()
        if request is _END:
            raise StopAsyncIteration
        if self._idle_limits is not None:
            self._limit = self._idle_limits.next
        return await _parse_deferred(request)

    async def _read(self) -> Any:
        """Return the next message, or `_END`. The read itself is never cancelled: that would break gRPC's call."""
        if self._limit is None:
            return await anext(self._requests, _END)
        reading = asyncio.ensure_future(anext(self._requests, _END))
        try:
            while True:
                await asyncio.wait((reading,), timeout=self._limit)
                if reading.done():
                    return reading.result()
                if not current_call().in_progress:
                    raise StreamIdle(f"the client sent nothing for {self._limit:g} s")
        finally:
            if not reading.done():
                reading.add_done_callback(_retrieve_exception)


def _retrieve_exception(reading: "asyncio.Future[Any]") -> None:
    """Retrieve the exception of a read whose call has ended; asyncio logs those that nothing retrieves."""
    if not reading.cancelled():
        reading.exception()


async def _parse_deferred(request: Any) -> Any:
    if isinstance(request, Deferred):
        if request.is_quick:
            return request.parse()
        return await asyncio.get_running_loop().run_in_executor(_PARSER_THREADS, request.parse)
    return request


def build_trailers(
    status: status_pb2.Status, pushback_milliseconds: int | None
) -> tuple[tuple[str, str | bytes], ...]:
    """Build the trailing metadata: the details of the status, and what gRPC's own retries should do."""
    trailers: list[tuple[str, str | bytes]] = [(STATUS_TRAILER, status.SerializeToString())]
    if pushback_milliseconds is not None:
        trailers.append((PUSHBACK_TRAILER, str(pushback_milliseconds)))
    return tuple(trailers)


async def _write(context: Context, response: bytes) -> None:
    """Send a response when flow control allows it. A client that has disconnected counts as cancellation."""
    try:
        await context.write(response)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error
