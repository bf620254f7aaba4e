"""Turns the end of a gRPC call into this package's errors: the only place that knows gRPC's status codes.

Reads what a worker says about an error: a `google.rpc.Status` with its details. Pure.

Why no connection comes about, in words that say what to do: gRPC's own are those of its TLS library.

Matched by the parts of its messages that stayed the same from gRPC 1.71 to 1.85.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from qda_worker.client import errors
from qda_worker.client.errors import Violation

# Whose reasons these are (`google.rpc.ErrorInfo.domain`).
DOMAIN: Final = "qda-worker"


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error says; `reason` is empty if it is not one of a worker's. `retry_after` is in seconds."""

    message: str
    reason: str = ""
    remedy: str = ""
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None


def read_details(status: status_pb2.Status) -> ErrorDetails:
    """The details of a status. Details that this client does not know, or that do not parse, are passed over."""
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
        except DecodeError:  # a broken detail must not hide the error that it belongs to
            continue
    message, remedy = _without_repetition(status.message, reason, remedy)
    return ErrorDetails(message, reason, remedy, violations, retry_after)


def _without_repetition(message: str, reason: str, remedy: str) -> tuple[str, str]:
    """Message and remedy apart: a worker's message may be the whole line, `REASON: message. Remedy: remedy`."""
    if reason:
        message = message.removeprefix(f"{reason}: ")
    before, mark, after = message.partition(" Remedy: ")
    if mark:
        message, remedy = before, remedy or after
    return message.removesuffix("."), remedy


_OTHER_NAME: Final = (
    "the worker's certificate is made out to another name than the target's",
    "call the worker by the name in its certificate, or tell that name (`--tls-server-name`, `server_name`)",
)
_TLS: Final = (
    (
        "certificate has expired",
        "the worker's certificate has expired",
        "renew the worker's certificate; it is used without a restart",
    ),
    (
        "certificate is not yet valid",
        "the worker's certificate is not valid yet",
        "compare the clocks of both machines, and the certificate's dates",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the worker's certificate is not signed by an authority that this client trusts",
        "name the file of the authority that signed it: `--tls-ca FILE`, or `Tls(ca=…)`",
    ),
    ("Hostname Verification Check failed", *_OTHER_NAME),
    ("is not in peer certificate", *_OTHER_NAME),  # gRPC 1.71
    (
        "WRONG_VERSION_NUMBER",
        "the target does not speak TLS",
        "connect in plain text (leave the options of TLS out), or give the worker its `--tls-cert` and `--tls-key`",
    ),
)
# Before "andshake failed", which stands in most of the above, too.

_CLOSED: Final = ("Socket closed", "Connection reset", "End of TCP stream", "Broken pipe")


def not_reachable(what: str, target: str) -> errors.NotReachable:
    """The error that tells about a failed connection; `what` is gRPC's account of it."""
    for mark, cause, remedy in _TLS:
        if mark in what:
            return errors.TlsFailed(f"no connection to {target}: {cause}", target=target, remedy=remedy)
    if "andshake failed" in what:
        return errors.TlsFailed(f"no connection to {target}: {what}", target=target)
    if any(mark in what for mark in _CLOSED):
        # A worker that wants TLS, or a client's certificate, closes the connection without a word.
        remedy = (
            "see whether the worker runs; if it wants TLS, connect with `--tls-ca FILE`, and if it wants to know who "
            "calls, with `--tls-cert FILE --tls-key FILE` that its authority signed"
        )
        return errors.NotReachable(
            f"the worker at {target} closed the connection: {what}", target=target, remedy=remedy
        )
    return errors.NotReachable(f"no worker answers at {target}: {what}", target=target)


_KINDS: Final[dict[grpc.StatusCode, type[errors.ClientError]]] = {
    grpc.StatusCode.UNAVAILABLE: errors.NotReady,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotServed,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotServed,
    grpc.StatusCode.NOT_FOUND: errors.NotServed,
    grpc.StatusCode.UNAUTHENTICATED: errors.Refused,
    grpc.StatusCode.PERMISSION_DENIED: errors.Refused,
    grpc.StatusCode.CANCELLED: errors.CallCancelled,
}

# What grpc.aio makes of a message that could not be sent because the stream had just ended
# (`aio/call.pyx.pxi`); it then puts this in place of the worker's own status.
_SEND_FAILED: Final = "Internal error from Core"


def client_error(error: grpc.RpcError, target: str) -> errors.ClientError:
    """What a failed call means; `error` is the sync or the async client's, `target` what was called."""
    code: grpc.StatusCode = error.code()
    details = read_details(_status(error))
    pushback = _pushback(error)
    if pushback is not None:
        details = replace(details, retry_after=pushback if pushback >= 0 else None)
    failure = _meaning(code, details, target)
    if isinstance(failure, errors.NotReady):
        failure.retry_after = details.retry_after
        failure.lasting = pushback is not None and pushback < 0
    return failure


def _status(error: grpc.RpcError) -> status_pb2.Status:
    """The rich status from the trailers; else the code and message alone."""
    try:
        rich = rpc_status.from_call(error)
    except (
        ValueError,
        DecodeError,
    ):  # trailers that contradict the call, or are cut: the plain status still holds
        rich = None
    if rich is not None:
        return rich
    return status_pb2.Status(code=error.code().value[0], message=error.details() or "")


def _pushback(error: grpc.RpcError) -> float | None:
    """The seconds of `grpc-retry-pushback-ms` (gRPC proposal A6); negative: do not try again; None: not said."""
    for key, value in cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()):
        if key == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0  # what cannot be read means: do not try again (A6)
    return None


def _meaning(code: grpc.StatusCode, details: ErrorDetails, target: str) -> errors.ClientError:
    match code:
        case grpc.StatusCode.UNAVAILABLE if not details.reason:
            return not_reachable(_short(details.message), target)
        case grpc.StatusCode.INTERNAL if details.message.startswith(_SEND_FAILED):
            return errors.NotReachable(
                f"the worker at {target} went away while it was sent to", target=target
            )
        case grpc.StatusCode.INVALID_ARGUMENT:
            return errors.InvalidRequest(
                details.message, reason=details.reason, remedy=details.remedy, violations=details.violations
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _exhausted(details)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(f"no answer from {target} in the time that was given")
    kind = _KINDS.get(code, errors.ServerFailed)
    message = details.message or f"the call ended with {code.name}"
    own_reason = "" if kind in (errors.ServerFailed, errors.NotReady) else code.name
    return kind(message, reason=details.reason or own_reason, remedy=details.remedy)


def _exhausted(details: ErrorDetails) -> errors.ClientError:
    """The worker's queue, or, without a reason of the worker's, gRPC's own message limit."""
    if not details.reason and "larger than max" in details.message:
        remedy = "send fewer texts at a time (`chunk_texts`)"
        return errors.InvalidRequest(details.message, reason="MESSAGE_TOO_LARGE", remedy=remedy)
    return errors.Overloaded(
        details.message, reason=details.reason, remedy=details.remedy, retry_after=details.retry_after
    )


def _short(message: str) -> str:
    """gRPC's account of a failed connection without its repetitions: `Connection refused`, `Socket closed`."""
    if not message:
        return "the connection ended"
    last = re.split(r"[Ll]ast error: ", message)[-1]
    return re.sub(r"\s+", " ", last).strip()
