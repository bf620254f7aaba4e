"""Calls that arrive by HTTP, run as gRPC runs its own: the same handlers inside the same interceptors.

`collect_handlers` takes the handlers of all services where a gRPC server would. `CallRunner` asks the interceptors of
the gRPC port for the handler of a method, as `grpc.aio` does, and runs it with an `HttpContext`, which is the part of
gRPC's `ServicerContext` that interceptors and services use. So observation, errors, limits, fairness and access are
those of gRPC, without a line for a single method. What they can refuse before the request is there, `Call.admit_early`
refuses before the body is read.

A call runs in the asyncio task of its request: `CallObserver` takes the end of this task for the end of the call.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast
from urllib.parse import quote

import grpc
from google.protobuf.descriptor import MethodDescriptor

from qda_worker.http.exchange import Exchange
from qda_worker.interceptors.base import (
    Context,
    Continuation,
    EarlyInterceptor,
    Handler,
    find_method,
    handler_function,
)
from qda_worker.observability.call_record import current_call

# Headers of HTTP and of the Connect protocol, which are no metadata of the call.
_NO_METADATA: Final = frozenset({"connection", "content-length", "host", "te", "transfer-encoding"})


def collect_handlers(add: Callable[[grpc.aio.Server], None]) -> dict[str, Handler]:
    """Return the handlers of services by method, as `/package.Service/Method`.

    Args:
        add: adds the services to a server, by the functions of the generated code.
    """
    table = _HandlerTable()
    add(cast("grpc.aio.Server", table))
    return table.handlers


class _HandlerTable:
    """Stands where generated code expects a gRPC server, and collects the handlers that it adds."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Do nothing: `add_registered_method_handlers` receives the same handlers."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add the handlers of one service."""
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})


# Keys of gRPC's `auth_context` for the kinds of names that a certificate has, as `ssl` calls them.
_NAME_KEYS: Final = {"DNS": "peer_dns", "URI": "peer_uri", "IP Address": "peer_ip", "email": "peer_email"}


class _CallDetails(grpc.HandlerCallDetails):
    """What an interceptor learns of a call before it runs."""

    def __init__(self, method: str, metadata: tuple[tuple[str, str], ...]) -> None:
        self.method = method
        self.invocation_metadata = metadata


class HttpContext:
    """The context of a call that arrives by HTTP: what interceptors and services use of gRPC's.

    Attributes:
        status: the code that ended the call; None until then.
        message: of that status.
        trailers: the trailing metadata.
    """

    def __init__(
        self,
        exchange: Exchange,
        metadata: tuple[tuple[str, str], ...],
        timeout: float | None,
        send: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        """Create the context.

        Args:
            exchange: the request.
            metadata: its headers.
            timeout: seconds until the deadline; None without one.
            send: sends a message of a stream.
        """
        self._peer = exchange.peer
        self._metadata = metadata
        self._end = None if timeout is None else time.monotonic() + timeout
        self._send = send
        self.status: grpc.StatusCode | None = None
        self.message = ""
        self.trailers: tuple[tuple[str, str | bytes], ...] = ()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def peer(self) -> str:
        return self._peer.address

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return the names in the client's certificate, under gRPC's keys; empty without mutual TLS."""
        if not self._peer.certificate:
            return {}
        subject = (pair for group in self._peer.certificate.get("subject", ()) for pair in group)
        found = {"x509_common_name": [value.encode() for key, value in subject if key == "commonName"]}
        for kind, value in self._peer.certificate.get("subjectAltName", ()):
            for key in filter(None, ("x509_subject_alternative_name", _NAME_KEYS.get(kind))):
                found.setdefault(key, []).append(value.encode())
        return found

    def time_remaining(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def code(self) -> grpc.StatusCode | None:
        return self.status

    def details(self) -> str:
        return self.message

    def set_code(self, code: grpc.StatusCode) -> None:
        self.status = code

    def set_details(self, details: str) -> None:
        self.message = details

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self.trailers

    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        self.trailers = tuple(metadata)

    def done(self) -> bool:
        return False  # the task of a call whose client has gone is cancelled

    def cancelled(self) -> bool:
        return False

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        """Do nothing: no method of `qda.v1` has any."""

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """End the call with a status, as gRPC does.

        Raises:
            AbortError: always.
        """
        self.status, self.message = code, details
        if trailing_metadata:
            self.trailers = tuple(trailing_metadata)
        raise grpc.aio.AbortError(f"{code.name}: {details}")

    async def write(self, message: Any) -> None:
        """Send a message of a stream."""
        assert self._send is not None
        await self._send(message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    Attributes:
        code: the status code.
        message: of the status; empty for OK.
        response: the serialized response of a unary call that ended with OK.
        trailers: the trailing metadata.
    """

    code: grpc.StatusCode
    message: str = ""
    response: bytes = b""
    trailers: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose method exists, inside the interceptors.

    Attributes:
        method: its descriptor.
        handler: the handler, wrapped by the interceptors. If access is refused, it is another one, which ends the call.
        exchange: the request.
        metadata: its headers.
        early: the interceptors that can refuse it before its request is read.
    """

    method: MethodDescriptor
    handler: Handler
    exchange: Exchange
    metadata: tuple[tuple[str, str], ...] = field(default=())
    early: Sequence[EarlyInterceptor] = ()

    @property
    def is_unary(self) -> bool:
        """Whether neither requests nor responses are a stream."""
        return not (self.method.client_streaming or self.method.server_streaming)

    @property
    def is_refused(self) -> bool:
        """Whether the call ends without a look at its request."""
        return current_call().refusal is not None

    def admit_early(self) -> None:
        """Refuse the call before its body is read, if it would be refused whatever that is.

        Raises:
            WorkerError: it is refused.
        """
        context = cast("Context", HttpContext(self.exchange, self.metadata, None))
        name = f"/{self.method.containing_service.full_name}/{self.method.name}"
        for interceptor in self.early:
            interceptor.admit_early(name, context)

    async def run(
        self,
        request: Any,
        seconds: float | None,
        send: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Run the handler and return how the call ended.

        Args:
            request: a message, a `Deferred` message, or the iterator of a stream of those.
            seconds: until the deadline; None without one.
            send: sends a serialized message of a stream of responses.
        """
        serialize = self.handler.response_serializer or _identity

        async def send_message(message: Any) -> None:
            assert send is not None
            try:
                await send(serialize(message))
            except (ConnectionError, TimeoutError) as error:  # the client has gone, or does not read
                raise asyncio.CancelledError from error

        context = HttpContext(self.exchange, self.metadata, seconds, send_message)
        response = b""
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                returned = await handler_function(self.handler)(request, cast("Context", context))
                if not self.handler.response_streaming:
                    response = serialize(returned)
        except grpc.aio.AbortError:
            pass
        except TimeoutError:
            if not deadline.expired():
                raise
            return Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        code = context.status or grpc.StatusCode.OK
        return Outcome(code, context.message, response, context.trailers)


class CallRunner:
    """Finds the handlers of methods inside the interceptors.

    Args:
        handlers: by method, as `/package.Service/Method`.
        interceptors: those of the gRPC port, from the outside in.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], interceptors: Sequence[grpc.aio.ServerInterceptor]
    ) -> None:
        self.handlers = dict(handlers)
        self._early = [each for each in interceptors if isinstance(each, EarlyInterceptor)]
        self._find: Continuation = self._look_up
        for interceptor in reversed(interceptors):
            self._find = functools.partial(interceptor.intercept_service, self._find)

    async def begin(self, method: str, exchange: Exchange) -> Call | None:
        """Begin a call: the interceptors learn of it. None for a method that does not exist.

        Args:
            method: as `/package.Service/Method`.
            exchange: the request; the current task is its own.
        """
        metadata = tuple((name, value) for name, value in exchange.headers if name not in _NO_METADATA)
        handler = await self._find(_CallDetails(method, metadata))
        if handler is None:
            return None
        return Call(find_method(method), handler, exchange, metadata, self._early)

    async def _look_up(self, details: grpc.HandlerCallDetails) -> "Handler | None":
        return self.handlers.get(details.method)


def peer_address(name: object) -> str:
    """Return the address of a socket's peer as gRPC writes it."""
    if not isinstance(name, tuple):
        return "unix:"
    host, port = name[:2]
    return f"ipv6:{quote(f'[{host}]', safe=':')}:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _identity(message: bytes) -> bytes:
    return message
