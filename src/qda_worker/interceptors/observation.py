"""Follows every call from its first sign to its end, and tells who listens: once at each.

A call is one task of the server, so its end is that task's: also of calls that are cut off in the middle of a message,
of methods that do not exist, and of requests that never arrive whole.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import grpc

from qda_worker.interceptors.base import OTHER, Codec, Context, Continuation, Handler, wrapped
from qda_worker.observability.call_record import (
    REQUEST_INCOMPLETE,
    CallListener,
    CallRecord,
    begin_call,
    current_call,
)
from qda_worker.scheduling.observer import CANCELLED_BY_CALLER, CANCELLED_BY_WORKER, DEADLINE_PASSED

CALLER_HEADER: Final = "x-qda-caller"
MAX_CALLER_LENGTH: Final = 100


class CallObserver(grpc.aio.ServerInterceptor):
    """The outermost interceptor. `ending` says whether the worker itself ends calls by now."""

    def __init__(
        self,
        listeners: Sequence[CallListener],
        *,
        ending: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listeners = tuple(listeners)
        self._ending = ending
        self._clock = clock
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """The handler of the method, observed; None for a method that there is not."""
        method = handler_call_details.method
        record = begin_call(method.lstrip("/"), self._clock())
        record.metadata = tuple(handler_call_details.invocation_metadata or ())
        record.trace_id = _trace_id(record)
        handler = await continuation(handler_call_details)
        if handler is None:
            record.method, record.status = OTHER, grpc.StatusCode.UNIMPLEMENTED.name
        for listener in self._listeners:
            listener.on_start(record)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        task.add_done_callback(lambda _: self._end(record))
        if handler is None:
            return None
        if method not in self._wrapped:
            self._wrapped[method] = wrapped(
                handler,
                self._around,
                parse=_counting_received(handler.request_deserializer),
                serialise=_counting_sent(handler.response_serializer),
            )
        return self._wrapped[method]

    @contextmanager
    def _around(self, context: Context) -> Iterator[None]:
        record = current_call()
        record.caller = _caller(record, context)
        record.peer_name = _peer_name(context)
        remaining = cast("float | None", context.time_remaining())  # None without a deadline
        record.deadline = None if remaining is None else self._clock() + remaining
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            raise  # told at the end, like calls that are cut off between two messages
        except grpc.aio.AbortError:
            record.status = _code(context)
            raise
        except BaseException:
            # A status that could not be sent any more: the caller has gone, which its requests' end looked like.
            record.status = "" if context.done() else grpc.StatusCode.UNKNOWN.name
            raise
        record.status = _code(context)

    def _end(self, record: CallRecord) -> None:
        now = self._clock()
        record.seconds = now - record.began
        if not record.status:
            if not record.caller:
                record.status, record.reason = grpc.StatusCode.CANCELLED.name, REQUEST_INCOMPLETE
            elif record.deadline is not None and now >= record.deadline:
                record.status, record.reason = grpc.StatusCode.DEADLINE_EXCEEDED.name, DEADLINE_PASSED
            else:
                record.status = grpc.StatusCode.CANCELLED.name
                record.reason = CANCELLED_BY_WORKER if self._ending() else CANCELLED_BY_CALLER
        for listener in self._listeners:
            listener.on_end(record)


def _code(context: Context) -> str:
    code = cast("grpc.StatusCode | None", context.code())  # None while nobody has set one
    return grpc.StatusCode.OK.name if code is None else code.name


def _caller(record: CallRecord, context: Context) -> str:
    """The name that the caller gives itself, else its address."""
    for key, value in record.metadata:
        if key == CALLER_HEADER and isinstance(value, str) and value:
            return value[:MAX_CALLER_LENGTH]
    return str(context.peer())


def _trace_id(record: CallRecord) -> str:
    """Of the trace that the caller says it belongs to (W3C trace context); empty if it says none."""
    for key, value in record.metadata:
        if key == "traceparent" and isinstance(value, str):
            found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", value)
            return found[1] if found else ""
    return ""


def _peer_name(context: Context) -> str:
    """The common name in the certificate that the client has shown; empty without mutual TLS."""
    names = context.auth_context().get("x509_common_name", ())
    return ", ".join(name.decode("utf-8", "replace") for name in names)[:MAX_CALLER_LENGTH]


def _counting_received(parse: Codec) -> Codec:
    def counted(message: bytes) -> Any:
        current_call().received_bytes += len(message)
        return parse(message) if parse is not None else message

    return counted


def _counting_sent(serialise: Codec) -> Codec:
    def counted(response: Any) -> bytes:
        message: bytes = serialise(response) if serialise is not None else response
        current_call().sent_bytes += len(message)
        return message

    return counted
