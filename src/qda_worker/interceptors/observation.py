"""The outermost interceptor: follows every call from its start to its end and notifies the listeners of both.

gRPC runs each call in a task of its own, and this interceptor is the first code of this project in it. It creates the
`CallRecord`, stores it in a context variable of the task, and registers the end of the call as a callback of
the task. So every call ends exactly once: also one that is cancelled between two messages, one of a method that does
not exist, and one whose request never arrives completely.

While the handler runs, the scope around it records caller, deadline and status. Listeners write log, metrics and
traces; they run on the event loop and must not raise.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import grpc

from qda_worker.access.policy import AUTHORIZATION_HEADER
from qda_worker.interceptors.base import (
    UNKNOWN_METHOD,
    Codec,
    Context,
    Continuation,
    Handler,
    wrap_handler,
)
from qda_worker.observability.call_record import (
    REQUEST_INCOMPLETE,
    CallListener,
    CallRecord,
    begin_call,
    current_call,
)
from qda_worker.scheduling.observer import CANCELLED_BY_CALLER, CANCELLED_BY_WORKER, DEADLINE_PASSED

CALLER_HEADER: Final = "x-qda-caller"
MAX_CALLER_LENGTH: Final = 100  # characters; the rest is dropped


class CallObserver(grpc.aio.ServerInterceptor):
    """Notifies `listeners` of every call.

    Args:
        listeners: Notified in their order.
        draining: returns whether the worker is shutting down and so may cancel calls itself.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        listeners: Sequence[CallListener],
        *,
        draining: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listeners = tuple(listeners)
        self._draining = draining
        self._clock = clock
        self._handlers: dict[Handler, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the handler of the method, observed; None for a method that does not exist."""
        method = handler_call_details.method
        record = begin_call(method.lstrip("/"), self._clock())
        record.metadata = tuple(
            (key, value)
            for key, value in handler_call_details.invocation_metadata or ()
            if key != AUTHORIZATION_HEADER
        )
        record.trace_id = _trace_id(record)
        handler = await continuation(handler_call_details)
        if handler is None:
            record.method, record.status = UNKNOWN_METHOD, grpc.StatusCode.UNIMPLEMENTED.name
        for listener in self._listeners:
            listener.on_start(record)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        task.add_done_callback(lambda _: self._end(record))
        if handler is None:
            return None
        if handler not in self._handlers:  # a refused call has another handler than the others of its method
            self._handlers[handler] = wrap_handler(
                handler,
                self._observe,
                parse=_count_received(handler.request_deserializer),
                serialize=_count_sent(handler.response_serializer),
            )
        return self._handlers[handler]

    def admit_early(self, _method: str, context: Context) -> None:
        """Record the peer, by which other interceptors decide; see `EarlyInterceptor`."""
        _record_peer(current_call(), context)

    @contextmanager
    def _observe(self, context: Context) -> Iterator[None]:
        record = current_call()
        _record_peer(record, context)
        record.caller = _caller(record)
        remaining = cast("float | None", context.time_remaining())  # None without a deadline
        record.deadline = None if remaining is None else self._clock() + remaining
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            raise  # `_end` decides the status, as for calls that are cancelled between two messages
        except grpc.aio.AbortError:
            record.status = _status_name(context)
            raise
        except BaseException:
            # If the call is done already, the client has disconnected, and the handler mistook that for the regular end
            # of the requests. Then `_end` decides the status.
            record.status = "" if context.done() else grpc.StatusCode.UNKNOWN.name
            raise
        record.status = _status_name(context)

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
                record.reason = CANCELLED_BY_WORKER if self._draining() else CANCELLED_BY_CALLER
        for listener in self._listeners:
            listener.on_end(record)


def _status_name(context: Context) -> str:
    code = cast("grpc.StatusCode | None", context.code())  # None until it is set
    return grpc.StatusCode.OK.name if code is None else code.name


def _record_peer(record: CallRecord, context: Context) -> None:
    record.peer = str(context.peer())
    record.peer_name = _peer_name(context)


def _caller(record: CallRecord) -> str:
    """Return the caller's name from its metadata, else its address."""
    for key, value in record.metadata:
        if key == CALLER_HEADER and isinstance(value, str) and value:
            return value[:MAX_CALLER_LENGTH]
    return record.peer


def _trace_id(record: CallRecord) -> str:
    """Return the trace id of the caller's traceparent header (W3C Trace Context); empty without one."""
    for key, value in record.metadata:
        if key == "traceparent" and isinstance(value, str):
            match = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", value)
            return match[1] if match else ""
    return ""


def _peer_name(context: Context) -> str:
    """Return the common name of the client's certificate; empty without mutual TLS."""
    names = context.auth_context().get("x509_common_name", ())
    return ", ".join(name.decode("utf-8", "replace") for name in names)[:MAX_CALLER_LENGTH]


def _count_received(parse: Codec) -> Codec:
    def parse_counted(message: bytes) -> Any:
        current_call().received_bytes += len(message)
        return parse(message) if parse is not None else message

    return parse_counted


def _count_sent(serialize: Codec) -> Codec:
    def serialize_counted(response: Any) -> bytes:
        message: bytes = serialize(response) if serialize is not None else response
        current_call().sent_bytes += len(message)
        return message

    return serialize_counted
