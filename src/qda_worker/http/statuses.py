"""Status codes of gRPC as HTTP statuses and as the JSON errors of the Connect protocol.

The table is the one of https://connectrpc.com/docs/protocol#error-codes.
"""

import base64
import json
import math
from typing import Any, Final

import grpc
from google.protobuf import json_format
from google.rpc import status_pb2

from qda_worker.access.policy import CHALLENGE
from qda_worker.conversion.rpc_status import build_status
from qda_worker.errors import WorkerError
from qda_worker.http.calls import Outcome
from qda_worker.http.exchange import JSON_TYPE, HeaderList, Response
from qda_worker.interceptors.errors import PUSHBACK_TRAILER, STATUS_TRAILER

HTTP_STATUS: Final = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


def failed_outcome(error: WorkerError) -> Outcome:
    """Return the outcome of a request that failed before its call began."""
    status = build_status(error)
    trailers = ((STATUS_TRAILER, status.SerializeToString()),)
    return Outcome(grpc.StatusCode[error.status], status.message, trailers=trailers)


def error_response(outcome: Outcome, http_status: int | None = None, headers: HeaderList = ()) -> Response:
    """Build the response of a unary call that did not end with OK.

    Args:
        outcome: how the call ended.
        http_status: in place of the one of the table, where HTTP itself has a more exact one.
        headers: further headers.
    """
    body = json.dumps(connect_error(outcome), ensure_ascii=False).encode("utf-8")
    fields = [("content-type", JSON_TYPE), *headers, *challenge(outcome)]
    pushback = dict(outcome.trailers).get(PUSHBACK_TRAILER)
    if pushback is not None and int(pushback) >= 0:
        fields.append(("retry-after", str(math.ceil(int(pushback) / 1000))))
    return Response(http_status or HTTP_STATUS[outcome.code], body, fields)


def challenge(outcome: Outcome) -> HeaderList:
    """Return the headers that say how to authenticate, where a call ended because it was not."""
    is_unknown = outcome.code is grpc.StatusCode.UNAUTHENTICATED
    return [("www-authenticate", CHALLENGE)] if is_unknown else []


def connect_error(outcome: Outcome) -> dict[str, Any]:
    """Return the error of the Connect protocol: code, message, and the details of the status."""
    name = "canceled" if outcome.code is grpc.StatusCode.CANCELLED else outcome.code.name.lower()
    error: dict[str, Any] = {"code": name, "message": outcome.message}
    details = [_connect_detail(detail) for detail in status_of(outcome).details]
    if details:
        error["details"] = details
    return error


def status_of(outcome: Outcome) -> status_pb2.Status:
    """Return the status of a call with its details, as gRPC sends it in its trailers."""
    status = dict(outcome.trailers).get(STATUS_TRAILER, b"")
    return status_pb2.Status.FromString(status if isinstance(status, bytes) else b"")


def _connect_detail(detail: Any) -> dict[str, Any]:
    readable = json_format.MessageToDict(detail)
    readable.pop("@type", None)
    return {
        "type": detail.TypeName(),
        "value": base64.b64encode(detail.value).decode("ascii").rstrip("="),
        "debug": readable,
    }
