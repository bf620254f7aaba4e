"""Errors in OpenAI's form: status, type, code, field, retry headers, and no words of gRPC."""

import json
from typing import Any

import pytest

from qda_worker.conversion.rpc_status import build_status
from qda_worker.errors import (
    ArgumentInvalid,
    Draining,
    ModelFailed,
    ModelUnknown,
    NotReady,
    QueueFull,
    TaskNotServed,
    TextEmpty,
    TextTooLong,
    Violation,
    WorkerError,
)
from qda_worker.http.exchange import Response
from qda_worker.http.openai.errors import build_error, locate
from qda_worker.http.statuses import HTTP_STATUS


def error_of(response: Response) -> dict[str, Any]:
    body = json.loads(response.body)
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def http_status(error: WorkerError) -> int:
    return next(status for code, status in HTTP_STATUS.items() if code.name == error.status)


def build(error: WorkerError) -> Response:
    return build_error(build_status(error), http_status(error))


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (ArgumentInvalid("x"), 400, "invalid_request_error", "argument_invalid"),
        (ModelUnknown("x"), 404, "invalid_request_error", "model_not_found"),
        (TaskNotServed("x"), 404, "invalid_request_error", "task_not_served"),
        (QueueFull("x"), 429, "rate_limit_error", "queue_full"),
        (NotReady("x"), 503, "server_error", "not_ready"),
        (Draining("x"), 503, "server_error", "draining"),
        (ModelFailed("x"), 500, "server_error", "model_failed"),
    ],
)
def test_each_error_has_its_status_type_and_code(
    error: WorkerError, status: int, kind: str, code: str
) -> None:
    response = build(error)
    assert response.status == status
    found = error_of(response)
    assert (found["type"], found["code"], found["param"]) == (kind, code, None)
    assert found["message"] == str(error)


def test_a_full_queue_says_when_to_try_again() -> None:
    headers = dict(build(QueueFull("full", retry_after=1.25)).headers)
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1250")
    assert "retry-after" not in dict(build(TextEmpty("x")).headers)


def test_a_missing_token_has_the_code_that_clients_know() -> None:
    found = error_of(build_error(build_status(ArgumentInvalid("no token")), 401))
    assert (found["type"], found["code"]) == ("invalid_request_error", "invalid_api_key")


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("texts", "input"),
        ("texts[3].content", "input[3]"),
        ("options.dimension_count", "dimensions"),
        ("prompt_name", "prompt_name"),
    ],
)
def test_fields_of_the_proto_are_those_of_the_body(field: str, param: str) -> None:
    found = error_of(build(ArgumentInvalid(f"{field} is wrong", violations=[Violation(field, "is wrong")])))
    assert found["param"] == param
    if field != "texts":
        assert f"{param} is wrong" in found["message"]


def test_the_error_of_a_text_names_its_place() -> None:
    status = locate(build_status(TextTooLong("it has 600 tokens")), 7)
    found = error_of(build_error(status, 400))
    assert found["message"].startswith("TEXT_TOO_LONG: input[7]: it has 600 tokens.")
    assert 'set long_text_policy to "cut" or "window"' in found["message"]
    assert found["param"] == "input[7]"


def test_a_status_without_details_has_no_code() -> None:
    found = error_of(
        build_error(build_status(ArgumentInvalid("x")).__class__(message="Deadline Exceeded"), 504)
    )
    assert (found["message"], found["code"], found["type"]) == ("Deadline Exceeded", None, "server_error")
