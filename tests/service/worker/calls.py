"""Helpers for calls to a worker, and for the statuses of refused calls."""

from collections.abc import Iterable
from typing import Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from qda.v1 import text_pb2

# Timeout in seconds: many times the duration of these calls.
TIMEOUT: Final = 60.0


def texts(*contents: str) -> list[text_pb2.Text]:
    """Return texts with the ids t0, t1 and so on."""
    return [text_pb2.Text(content=content, id=f"t{number}") for number, content in enumerate(contents)]


def error_info(status: status_pb2.Status) -> Any:
    """Return the ErrorInfo of a status."""
    return detail(status, error_details_pb2.ErrorInfo())


def detail(status: status_pb2.Status, kind: Any) -> Any:
    """Return the detail of that kind; fail if there is none."""
    for box in status.details:
        if box.Unpack(kind):
            return kind
    raise AssertionError(f"no {kind.DESCRIPTOR.full_name} in {status}")


def refused_status(call: Any, request: Any, **options: Any) -> status_pb2.Status:
    """Send a call that must be refused and return its status, whose message must end with a remedy."""
    with pytest.raises(grpc.RpcError) as caught:
        all_of(call(request, timeout=TIMEOUT, **options))
    error: Any = caught.value
    status: status_pb2.Status | None = rpc_status.from_call(error)
    assert status is not None, error
    assert error_info(status).domain == "qda-worker"
    assert " Remedy: " in status.message
    return status


def all_of(answer: Any) -> list[Any]:
    """Read the answer: a stream fails only when it is read."""
    return list(answer) if isinstance(answer, Iterable) else [answer]


def reason(status: status_pb2.Status) -> tuple[str, str]:
    """Return the name of the status code and the reason."""
    code = next(code.name for code in grpc.StatusCode if code.value[0] == status.code)
    return code, error_info(status).reason
