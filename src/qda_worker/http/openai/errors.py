"""Errors in the form of OpenAI's API: `{"error": {"message", "type", "param", "code"}}` with an HTTP status.

All errors come here as a `google.rpc.Status`, that of a call or of a text, so that reason, message and retry delay are
those of gRPC. `param` is the field of the body at fault, and names of the proto in a message become names of the body.
`code` is the API's own word where it has one, else the reason in lower case. Clients decide by the HTTP status. The
openai client retries 408, 409, 429 and 5xx, after `retry-after-ms` if it is there, and does not retry if
`x-should-retry` is false.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from google.rpc import error_details_pb2, status_pb2
from pydantic_core import to_json

from qda_worker.http.exchange import JSON_TYPE, HeaderList, Response

# Words of the API for reasons of the worker.
_CODES: Final[Mapping[str, str]] = {"MODEL_UNKNOWN": "model_not_found"}
# HTTP statuses of reasons for which the API has another one than that of the gRPC status.
_REASON_STATUSES: Final[Mapping[str, int]] = {"MODEL_UNKNOWN": 404, "TASK_NOT_SERVED": 404}

_UNAUTHORIZED: Final = 401
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERRORS: Final = 500

# Names of fields of the EmbedRequest, and what they are in the body.
_FIELDS: Final = (
    (re.compile(r"\btexts\[(\d+)\](?:\.content)?"), r"input[\1]"),
    (re.compile(r"\boptions\.dimension_count\b"), "dimensions"),
)
# Remedies that name what only gRPC has.
_REMEDIES: Final = (
    ("leave it 0; ModelInfo.shortened_dimension_counts lists", "leave it out; GET /v1/models lists"),
    (", use ELEMENT_TYPE_FLOAT16, or call EmbedStream", ""),
    ("ask for the long-text policy CUT or WINDOW", 'set long_text_policy to "cut" or "window"'),
    ("ModelInfo.prompts", "GET /v1/models"),
)


def build_error(status: status_pb2.Status, http_status: int, headers: HeaderList = ()) -> Response:
    """Build the response of a request that failed.

    Args:
        status: what failed, with the details of the worker.
        http_status: that of the gRPC status, or of HTTP itself.
        headers: further headers.
    """
    info, bad_request, retry = _details(status)
    http_status = _REASON_STATUSES.get(info.reason, http_status)
    fields = [("content-type", JSON_TYPE), *headers]
    if retry is not None:
        seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        fields += [("retry-after", str(math.ceil(seconds))), ("retry-after-ms", str(int(seconds * 1000)))]
    return Response(
        http_status,
        to_json(
            {
                "error": {
                    "message": _in_words_of_the_body(status.message),
                    "type": _error_type(http_status),
                    "param": _param(bad_request),
                    "code": _code(info.reason, http_status),
                }
            }
        ),
        fields,
    )


def locate(status: status_pb2.Status, index: int) -> status_pb2.Status:
    """Return the status of one text as that of the request, with the place of the text."""
    info, _, _ = _details(status)
    moved = status_pb2.Status()
    moved.CopyFrom(status)
    prefix = f"{info.reason}: " if info.reason else ""
    message = status.message.removeprefix(prefix)
    moved.message = f"{prefix}input[{index}]: {message}"
    violation = error_details_pb2.BadRequest.FieldViolation(field=f"input[{index}]", description=message)
    moved.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return moved


def _details(
    status: status_pb2.Status,
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo | None]:
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry: error_details_pb2.RetryInfo | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad_request.DESCRIPTOR):
            detail.Unpack(bad_request)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
    return info, bad_request, retry


def _in_words_of_the_body(message: str) -> str:
    for pattern, replacement in _FIELDS:
        message = pattern.sub(replacement, message)
    for remedy, replacement in _REMEDIES:
        message = message.replace(remedy, replacement)
    return message


def _param(bad_request: error_details_pb2.BadRequest) -> str | None:
    if not bad_request.field_violations:
        return None
    field = _in_words_of_the_body(bad_request.field_violations[0].field)
    return "input" if field == "texts" else field


def _error_type(http_status: int) -> str:
    if http_status == _TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if http_status >= _SERVER_ERRORS else "invalid_request_error"


def _code(reason: str, http_status: int) -> str | None:
    if http_status == _UNAUTHORIZED:
        return "invalid_api_key"
    return _CODES.get(reason, reason.lower()) or None
