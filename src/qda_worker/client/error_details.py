"""Reads what a worker says about an error: a `google.rpc.Status` with its details. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from qda_worker.client.errors import Violation

DOMAIN = "qda-worker"
"""Whose reasons these are (`google.rpc.ErrorInfo.domain`)."""


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
