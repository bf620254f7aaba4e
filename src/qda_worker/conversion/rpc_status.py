"""Errors as `google.rpc.Status`: the same form for a whole call and for one text.

Every status has an ErrorInfo with the reason, for programs. The message is for people and ends with the remedy. Where
fields are at fault there is a BadRequest, and where a retry may succeed a RetryInfo. The details are those of
https://google.aip.dev/193.
"""

from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from qda_worker.errors import Draining, NotReady, Overloaded, WorkerError
from qda_worker.limits import MAX_VIOLATIONS

DOMAIN: Final = "qda-worker"
# The reason of an error that is a bug of the worker; also the reason of exit code 50.
INTERNAL: Final = "INTERNAL"


def build_status(error: BaseException) -> status_pb2.Status:
    """Build the status of an error.

    An error that is not a WorkerError is a bug. Its status has the type but not the message, which may contain text of
    the request.
    """
    if not isinstance(error, WorkerError):
        return _status(
            grpc.StatusCode.INTERNAL,
            f"{INTERNAL}: internal error in the worker ({type(error).__name__}). Remedy: see the worker's log, "
            "and report it if it happens again",
            _error_info(INTERNAL, {}),
        )
    metadata = {"remedy": error.remedy}
    details: list[Message] = []
    if error.violations:
        metadata["violation_count"] = str(len(error.violations))
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=violation.field, description=violation.description
                    )
                    for violation in error.violations[:MAX_VIOLATIONS]
                ]
            )
        )
    delay = retry_delay(error)
    if delay is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=build_duration(delay)))
    return _status(grpc.StatusCode[error.status], str(error), _error_info(error.reason, metadata), *details)


def status_code(status: status_pb2.Status) -> grpc.StatusCode:
    """Return the status code, which a status has as a number."""
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)


def retry_delay(error: BaseException) -> float | None:
    """Return after how many seconds the same request may succeed.

    None where a retry does not help, and for NOT_READY, whose end is unknown.
    """
    if isinstance(error, Overloaded):
        return error.retry_after
    return 0.0 if isinstance(error, Draining) else None


def retry_pushback(error: BaseException) -> int | None:
    """Return the delay in milliseconds for gRPC's own retries, which do not read the details of a status.

    -1 forbids retries, and None leaves them to the client's policy. Source: gRPC proposal A6, "Pushback".
    """
    if isinstance(error, NotReady) and error.permanent:
        return -1
    delay = retry_delay(error)
    return None if delay is None else int(delay * 1000)


def build_duration(seconds: float) -> duration_pb2.Duration:
    """Build a Duration from seconds, which must not be negative."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _error_info(reason: str, metadata: dict[str, str]) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _status(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    packed_details = []
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        packed_details.append(packed)
    return status_pb2.Status(code=code.value[0], message=message, details=packed_details)
