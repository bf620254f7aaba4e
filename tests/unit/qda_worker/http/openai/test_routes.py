"""Calls behind the paths of OpenAI's API: refused calls, retries, and paths that do not exist."""

import json
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from qda_worker.conversion.parse_errors import FailedMessage
from qda_worker.errors import NotReady, QueueFull, TokenMissing, WorkerError
from qda_worker.http.calls import CallRunner, Outcome
from qda_worker.http.exchange import Exchange, Response
from qda_worker.http.openai.routes import OpenAiRoute
from qda_worker.http.statuses import failed_outcome
from qda_worker.interceptors.errors import PUSHBACK_TRAILER
from qda_worker.observability.call_record import begin_call

CATALOG: Final = Catalog(
    (Model("m", Task.EMBEDDING, HuggingFaceSource("org/m", "0" * 40, ("*",))),), "c.yaml"
)


class FakeCall:
    """A call that ends with an error, whatever it is asked."""

    def __init__(self, error: WorkerError, *, is_refused: bool) -> None:
        self.error = error
        self.is_refused = is_refused
        self.requests: list[Any] = []

    def admit_early(self) -> None:
        pass

    async def run(self, request: Any, seconds: float | None) -> Outcome:
        self.requests.append(request)
        outcome = failed_outcome(self.error)
        if isinstance(self.error, NotReady):
            return Outcome(
                outcome.code, outcome.message, trailers=(*outcome.trailers, (PUSHBACK_TRAILER, "-1"))
            )
        return outcome


async def post(
    error: WorkerError, *, is_refused: bool = False, body: bytes = b'{"model": "m", "input": "x"}'
) -> tuple[Response, FakeCall]:
    call = FakeCall(error, is_refused=is_refused)

    async def begin(method: str, exchange: Exchange) -> FakeCall:
        begin_call(method, 0.0)
        return call

    async def read(limit: int) -> bytes:
        assert not is_refused, "the body of a refused call was read"
        return body

    headers = {"content-type": "application/json"}
    exchange = SimpleNamespace(
        method="POST", path="/v1/embeddings", header=lambda name: headers.get(name, ""), read=read
    )
    route = OpenAiRoute(cast("CallRunner", SimpleNamespace(begin=begin)), CATALOG)
    return await route(cast("Exchange", exchange)), call


async def test_a_missing_token_is_a_401_in_the_form_of_the_api_and_the_body_is_not_read() -> None:
    response, _ = await post(TokenMissing("no token"), is_refused=True)
    assert response.status == 401
    assert json.loads(response.body)["error"]["code"] == "invalid_api_key"
    assert dict(response.headers)["www-authenticate"].startswith("Bearer")


async def test_a_full_queue_is_a_429_that_clients_try_again() -> None:
    response, call = await post(QueueFull("full", retry_after=0.5))
    assert response.status == 429
    assert dict(response.headers)["retry-after-ms"] == "500"
    [request] = call.requests
    assert [text.content for text in request.texts] == ["x"]


async def test_a_model_that_will_not_serve_is_not_tried_again() -> None:
    response, _ = await post(NotReady("it does not load"))
    assert (response.status, dict(response.headers)["x-should-retry"]) == (503, "false")


@pytest.mark.parametrize("body", [b"{}", b'{"model": "other", "input": "x"}', b"[" * 1000])
async def test_a_wrong_request_is_an_error_of_its_call(body: bytes) -> None:
    _, call = await post(QueueFull("full"), body=body)
    assert isinstance(call.requests[0], FailedMessage)
