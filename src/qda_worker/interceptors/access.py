"""The access policy (`access.policy`) for gRPC: who may call `qda.v1` and reflection.

Health needs no credentials, so that probes and load balancers work; the ports of probes and metrics have no policy.
Reflection does, since it answers everybody else at length: grpcurl sends the headers of its option `-H` there too.

A call whose token is missing or unknown gets a handler that takes a stream of requests, of which it reads none: gRPC
reads the request of other handlers before it calls them, up to 16 MiB. The names of the certificate are known when the
handler runs, and are checked then; TLS has verified the certificate before. The HTTP port has them checked before it
reads the request, and so the limit of texts, for callers that have used it up.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from qda_worker.access.policy import AUTHORIZATION_HEADER, AccessPolicy
from qda_worker.conversion.parse_errors import is_repeated
from qda_worker.errors import WorkerError
from qda_worker.interceptors.base import (
    Context,
    Continuation,
    Handler,
    find_method,
    handler_function,
    replace_handler,
)
from qda_worker.interceptors.errors import abort_call
from qda_worker.observability.call_record import current_call

# Keys of gRPC's `auth_context` with the names of a verified client certificate.
_NAME_KEYS: Final = ("peer_dns", "peer_uri", "x509_common_name")

_HEALTH_PREFIX: Final = f"/{health_pb2.DESCRIPTOR.services_by_name['Health'].full_name}/"


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls that `policy` does not accept, and records the names of the others."""

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy
        self._handlers: dict[str, Handler] = {}
        self._refusal: Handler = grpc.stream_stream_rpc_method_handler(_refuse)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Return the handler of the method behind the policy; None for a method that does not exist."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_HEALTH_PREFIX):
            return handler
        record = current_call()
        values = [
            str(value)
            for key, value in handler_call_details.invocation_metadata or ()
            if key == AUTHORIZATION_HEADER
        ]
        try:
            record.principal = self._policy.check_token(values)
        except WorkerError as error:
            record.refusal = error
            return self._refusal
        if method not in self._handlers:
            self._handlers[method] = self._wrap(handler)
        return self._handlers[method]

    def admit_early(self, method: str, context: Context) -> None:
        """Check the certificate, and the limit of texts for a unary call; see `EarlyInterceptor`."""
        if method.startswith(_HEALTH_PREFIX):
            return
        record = current_call()
        self._identify(context)
        if record.budget is not None and _is_unary_with_texts(method):
            record.budget.check()

    def _wrap(self, handler: Handler) -> Handler:
        function = handler_function(handler)
        wrap = self._wrap_generator if inspect.isasyncgenfunction(function) else self._wrap_coroutine
        return replace_handler(
            handler,
            wrap(function),
            parse=handler.request_deserializer,
            serialize=handler.response_serializer,
        )

    def _wrap_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(request: Any, context: Context) -> Any:
            await self._admit(context)
            return await function(request, context)

        return run

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(request: Any, context: Context) -> AsyncIterator[Any]:
            await self._admit(context)
            async with aclosing(function(request, context)) as responses:
                async for response in responses:
                    yield response

        return run

    async def _admit(self, context: Context) -> None:
        try:
            self._identify(context)
        except WorkerError as error:
            current_call().reason = error.reason
            await abort_call(error, context)

    def _identify(self, context: Context) -> None:
        """Check the certificate, and record whom the call is charged to.

        Raises:
            ClientNotAllowed: the certificate has none of the allowed names.
        """
        record = current_call()
        certificate_name = self._policy.check_certificate(certificate_names(context))
        record.principal = record.principal or certificate_name
        record.budget = self._policy.budget(record.charged_to)


def _is_unary_with_texts(method: str) -> bool:
    """Return whether a call of a method is refused beyond the limit of texts: it has a list of them, or of pairs."""
    descriptor = find_method(method)
    if descriptor.client_streaming or descriptor.server_streaming:
        return False
    return any(is_repeated(field) and field.message_type for field in descriptor.input_type.fields)


def certificate_names(context: Context) -> list[str]:
    """Return the DNS names, URIs and common names of the client's certificate; empty without one."""
    found = context.auth_context()
    return [value.decode("utf-8", "replace") for key in _NAME_KEYS for value in found.get(key, ())]


async def _refuse(_requests: AsyncIterator[bytes], context: Context) -> None:
    record = current_call()
    if record.refusal is None:
        raise AssertionError("only calls with a refusal have this handler")
    record.reason = record.refusal.reason
    await abort_call(record.refusal, context)
