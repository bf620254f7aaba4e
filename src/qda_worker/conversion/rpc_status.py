"""Errors as `google.rpc.Status`: the same form for a whole call and for one text.

Every status has an ErrorInfo, so that programs go by the reason and people read the message, which ends with the
remedy.
"""

from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from qda_worker.errors import Draining, NotReady, Overloaded, WorkerError
from qda_worker.limits import MAX_VIOLATIONS

DOMAIN: Final = "qda-worker"
# The reason of an error that is the worker's own: a bug. The same word as exit code 50's.
INTERNAL: Final = "INTERNAL"


def status_of(error: BaseException) -> status_pb2.Status:
    """The status that tells a client about `error`. What is not a WorkerError is a bug, told without its message:
    that may hold a text.
    """
    if not isinstance(error, WorkerError):
        return _status(
            grpc.StatusCode.INTERNAL,
            f"{INTERNAL}: the worker met an error of its own ({type(error).__name__}). Remedy: see the worker's log, "
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
                        field=each.field, description=each.description
                    )
                    for each in error.violations[:MAX_VIOLATIONS]
                ]
            )
        )
    delay = retry_delay(error)
    if delay is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration(delay)))
    return _status(grpc.StatusCode[error.status], str(error), _error_info(error.reason, metadata), *details)


def retry_delay(error: BaseException) -> float | None:
    """After how many seconds the same request may succeed; None where repeating it does not help or the reason
    (NOT_READY) says nothing about when.
    """
    if isinstance(error, Overloaded):
        return error.retry_after
    return 0.0 if isinstance(error, Draining) else None


def pushback(error: BaseException) -> int | None:
    """For gRPC's own retries, which read no details: the same in milliseconds; -1: do not try again (proposal A6)."""
    if isinstance(error, NotReady) and error.lasting:
        return -1
    delay = retry_delay(error)
    return None if delay is None else int(delay * 1000)


def duration(seconds: float) -> duration_pb2.Duration:
    """Seconds, not negative, as a Duration."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _error_info(reason: str, metadata: dict[str, str]) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _status(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    packed = []
    for detail in details:
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)
