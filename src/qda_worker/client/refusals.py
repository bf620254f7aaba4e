"""Turns the end of a gRPC call into this package's errors: the only place that knows gRPC's status codes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status

from qda_worker.client import errors
from qda_worker.client.error_details import ErrorDetails, read_details
from qda_worker.client.unreachable import not_reachable

_KINDS: dict[grpc.StatusCode, type[errors.ClientError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.NotReady,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotServed,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotServed,
    grpc.StatusCode.NOT_FOUND: errors.NotServed,
    grpc.StatusCode.UNAUTHENTICATED: errors.Refused,
    grpc.StatusCode.PERMISSION_DENIED: errors.Refused,
    grpc.StatusCode.CANCELLED: errors.CallCancelled,
}

_SEND_FAILED = "Internal error from Core"
"""What grpc.aio makes of a message that could not be sent because the stream had just ended (`aio/call.pyx.pxi`); it
then puts this in place of the worker's own status."""


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
