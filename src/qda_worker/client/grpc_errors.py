"""Convert gRPC errors to the client's own errors; the only module that reads gRPC's status codes.

The worker sends a `google.rpc.Status` in the trailers, with these details: `ErrorInfo` (reason and remedy),
`BadRequest` (invalid fields) and `RetryInfo` (when to try again). Errors of gRPC itself and of proxies have only a
code and a message. A failed connection is UNAVAILABLE without a reason; its cause is found in the message, by the
parts that are the same in gRPC 1.71 to 1.85. The same `Status` describes why a single text failed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from qda_worker.client import errors
from qda_worker.client.errors import Violation
from qda_worker.client.proxy import Proxy

_Failure = TypeVar("_Failure", bound=errors.ClientError)

# `google.rpc.ErrorInfo.domain` of the worker's reasons.
DOMAIN: Final = "qda-worker"

_ERROR_BY_CODE: Final[dict[grpc.StatusCode, type[errors.ClientError]]] = {
    grpc.StatusCode.UNAVAILABLE: errors.NotReady,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotServed,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotServed,
    grpc.StatusCode.NOT_FOUND: errors.NotServed,
    grpc.StatusCode.UNAUTHENTICATED: errors.Refused,
    grpc.StatusCode.PERMISSION_DENIED: errors.Refused,
}

# The message of grpc.aio for a request that could not be sent because the stream had just ended
# (`aio/call.pyx.pxi`). It replaces the worker's own status.
_SEND_FAILED: Final = "Internal error from Core"

_NAME_MISMATCH: Final = (
    "the worker's certificate is issued for another name than the target's",
    "use the name in its certificate as the target, or give that name (`--tls-server-name`, `server_name`)",
)

# A part of gRPC's message, the cause, the remedy.
_TLS_FAILURES: Final = (
    (
        "certificate has expired",
        "the worker's certificate has expired",
        "renew the worker's certificate; the worker loads it without a restart",
    ),
    (
        "certificate is not yet valid",
        "the worker's certificate is not valid yet",
        "compare the clocks of both machines, and the certificate's dates",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the worker's certificate is not signed by an authority that this client trusts",
        "give the file of the authority that signed it: `--tls-ca FILE`, or `Tls(ca=…)`",
    ),
    ("Hostname Verification Check failed", *_NAME_MISMATCH),
    ("is not in peer certificate", *_NAME_MISMATCH),  # gRPC 1.71
    (
        "WRONG_VERSION_NUMBER",
        "the target does not speak TLS",
        "connect in plain text (without the TLS options), or give the worker its `--tls-cert` and `--tls-key`",
    ),
)

# Part of "Handshake failed" and "handshake failed". Checked last: most messages above contain it, too.
_HANDSHAKE_FAILED: Final = "andshake failed"

# In gRPC's messages for a connection that was never established, and in those of an HTTP proxy without a worker. All
# others are about a connection that broke.
_NOT_CONNECTED: Final = (
    "failed to connect", "last error: ", "errors resolving", "DNS resolution failed", "http2 header with status",
)  # fmt: skip

_TOKEN_REASONS: Final = ("TOKEN_MISSING", "TOKEN_UNKNOWN")
_AUTHENTICATION_REMEDY: Final = (
    "ask who runs the worker for a token; give it by `--token-file FILE`, QDA_TOKEN or `Settings(token=…)`"
)

_CANCELLED_REMEDY: Final = (
    "the worker stops, or a proxy in front of it ended the call: send it again, and read the worker's log if that "
    "fails, too"
)

_CONNECTION_CLOSED: Final = ("Socket closed", "Connection reset", "End of TCP stream", "Broken pipe")


# In gRPC's messages about what answers in HTTP/1, or in no HTTP at all.
_NO_GRPC: Final = ("Failed parsing HTTP/2", "http1.x server")


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The contents of a `google.rpc.Status`.

    Attributes:
        message: what happened, without reason and remedy.
        reason: empty if the error is not the worker's own.
        remedy: what to do about it; may be empty.
        violations: the invalid fields of the request.
        retry_after: seconds to wait before a retry; None if not stated.
    """

    message: str
    reason: str = ""
    remedy: str = ""
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None


def client_error(error: grpc.RpcError, target: str, proxy: Proxy | None = None) -> errors.ClientError:
    """Return the client's error for a failed call that the client itself did not cancel.

    Args:
        error: the error of `grpc` or `grpc.aio`.
        target: the address that was called.
        proxy: the proxy on the way there; None if there is none.
    """
    code: grpc.StatusCode = error.code()
    details = error_details(_status(error))
    pushback = _retry_pushback(error)
    if pushback is not None:
        details = replace(details, retry_after=pushback if pushback >= 0 else None)
    failure = _error_for_code(code, details, target)
    if isinstance(failure, errors.NotReady):
        failure.retry_after = details.retry_after
        failure.lasting = pushback is not None and pushback < 0
    if proxy is not None and isinstance(failure, errors.NotReachable) and not proxy.address:
        # gRPC's message quotes a part of the variable, which may be one of a password.
        failure.message = (
            f"no worker answers at {target}: the variable {proxy.variable} has no valid address of a proxy"
        )
        failure.remedy = (
            f"give it as http://HOST:PORT, with / ? # and @ in a password as %2F %3F %23 %40; to connect without a "
            f"proxy, add {proxy.host} to the variable no_proxy"
        )
    elif proxy is not None and isinstance(failure, errors.NotReachable):
        failure.message += f" (through the proxy {proxy.address} of the variable {proxy.variable})"
        failure.remedy = (
            f"check that the proxy allows connections to this address; to connect without it, add {proxy.host} to the "
            f"variable no_proxy. Otherwise: {failure.remedy}"
        )
    return failure


def error_details(status: status_pb2.Status) -> ErrorDetails:
    """Return the contents of a status. Details that are unknown or cannot be parsed are ignored."""
    reason = remedy = ""
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        try:
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason = info.reason
                remedy = info.metadata.get("remedy", remedy)
            elif detail.Unpack(bad_request):
                violations = tuple(
                    Violation(each.field, each.description) for each in bad_request.field_violations
                )
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        except DecodeError:  # a broken detail must not hide the error that it describes
            continue
    message, remedy = _split_message(status.message, reason, remedy)
    return ErrorDetails(message, reason, remedy, violations, retry_after)


def connection_error(message: str, target: str) -> errors.NotReachable:
    """Return the error for a failed connection; `message` is gRPC's."""
    for part, cause, remedy in _TLS_FAILURES:
        if part in message:
            return errors.TlsFailed(f"no connection to {target}: {cause}", target=target, remedy=remedy)
    if _HANDSHAKE_FAILED in message:
        return errors.TlsFailed(f"no connection to {target}: {message}", target=target)
    if any(part in message for part in _NO_GRPC):
        return errors.NotReachable(
            f"what answers at {target} does not speak gRPC ({message})",
            target=target,
            remedy="give the port of `--listen` (50051 by default), not that of metrics or of a web server",
        )
    if any(part in message for part in _CONNECTION_CLOSED):
        # A worker that requires TLS, or a client certificate, closes the connection without giving a reason.
        remedy = (
            "check that the worker runs; if it requires TLS, connect with `--tls-ca FILE`; if it requires a client "
            "certificate, with `--tls-cert FILE --tls-key FILE` that its authority signed"
        )
        return errors.NotReachable(
            f"the worker at {target} closed the connection: {message}", target=target, remedy=remedy
        )
    return errors.NotReachable(f"no worker answers at {target}: {message}", target=target)


def _status(error: grpc.RpcError) -> status_pb2.Status:
    """Return the status from the trailers, or one with only the code and the message."""
    try:
        status = rpc_status.from_call(error)
    except (ValueError, DecodeError):  # the trailers contradict the call, or are truncated
        status = None
    if status is not None:
        return status
    return status_pb2.Status(code=error.code().value[0], message=error.details() or "")


def _retry_pushback(error: grpc.RpcError) -> float | None:
    """Return the seconds of the trailer `grpc-retry-pushback-ms` (gRPC proposal A6).

    Negative if it forbids retries, None if the trailer is missing.
    """
    for key, value in cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()):
        if key == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0  # A6: a value that cannot be parsed forbids retries
    return None


def _split_message(message: str, reason: str, remedy: str) -> tuple[str, str]:
    """Return message and remedy separately; the worker's message may be `REASON: message. Remedy: remedy`."""
    if reason:
        message = message.removeprefix(f"{reason}: ")
    before, separator, after = message.partition(" Remedy: ")
    if separator:
        message, remedy = before, remedy or after
    return message.removesuffix("."), remedy


def _error_for_code(code: grpc.StatusCode, details: ErrorDetails, target: str) -> errors.ClientError:
    match code:
        case grpc.StatusCode.UNAVAILABLE if not details.reason:
            return _unavailable(details.message, target)
        case grpc.StatusCode.INTERNAL if details.message.startswith(_SEND_FAILED):
            return _lost(
                errors.NotReachable(
                    f"the connection to the worker at {target} was lost while sending", target=target
                )
            )
        case grpc.StatusCode.CANCELLED:
            message = f"the worker at {target} cancelled the call: {details.message or 'it gave no reason'}"
            remedy = details.remedy or _CANCELLED_REMEDY
            return _lost(errors.CallCancelled(message, reason=details.reason, remedy=remedy))
        case grpc.StatusCode.INVALID_ARGUMENT:
            return errors.InvalidRequest(
                details.message, reason=details.reason, remedy=details.remedy, violations=details.violations
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _resource_exhausted(details)
        case grpc.StatusCode.UNIMPLEMENTED if not details.reason:
            return errors.NotServed(
                f"what answers at {target} does not have this method ({details.message or 'no message'})",
                reason=code.name,
                remedy="update the worker if it is older than this client, or give the port of `--listen`, not that of "
                "probes",
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(f"no response from {target} before the deadline")
    if details.reason in _TOKEN_REASONS:
        details = replace(details, remedy=_AUTHENTICATION_REMEDY)
    kind = _ERROR_BY_CODE.get(code, errors.ServerFailed)
    message = details.message or f"the call ended with {code.name}"
    default_reason = "" if kind in (errors.ServerFailed, errors.NotReady) else code.name
    return kind(message, reason=details.reason or default_reason, remedy=details.remedy)


def _unavailable(message: str, target: str) -> errors.NotReachable:
    """Return the error for UNAVAILABLE from gRPC itself: not connected, or a connection that broke or said GOAWAY."""
    failure = connection_error(_last_connection_error(message), target)
    if message and not any(part in message for part in _NOT_CONNECTED):
        _lost(failure)
    return failure


def _lost(failure: _Failure) -> _Failure:
    failure.connection_lost = True
    return failure


def _resource_exhausted(details: ErrorDetails) -> errors.ClientError:
    """Return the error for a full queue, or, if it has no reason of the worker's, for gRPC's own message limit."""
    if not details.reason and "larger than max" in details.message:
        remedy = "send fewer texts in one request (`chunk_texts`)"
        return errors.InvalidRequest(details.message, reason="MESSAGE_TOO_LARGE", remedy=remedy)
    return errors.Overloaded(
        details.message, reason=details.reason, remedy=details.remedy, retry_after=details.retry_after
    )


def _last_connection_error(message: str) -> str:
    """Return the last cause in gRPC's message for a failed connection: `Connection refused`, `Socket closed`."""
    if not message:
        return "the connection ended"
    last = re.split(r"[Ll]ast error: ", message)[-1]
    return re.sub(r"\s+", " ", last).strip()
