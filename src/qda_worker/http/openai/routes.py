"""The paths of OpenAI's API, each as a call of a method of `qda.v1`.

    POST /v1/embeddings      EmbeddingService.Embed
    GET  /v1/models          ModelService.ListModels
    GET  /v1/models/{name}   ModelService.ListModels

A request is converted to the request of that method, and the call runs inside the interceptors like one of gRPC: log,
metrics, limits, queue, fairness and access are the same, and so is everything computed. What is wrong with a request
becomes an error of its call as well. `user` is the caller's name where the header X-QDA-Caller names none.
"""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import grpc
from google.protobuf.message import Message

from model_cache.catalog.catalog import Catalog
from qda.v1 import embedding_pb2, model_pb2
from qda_worker.conversion.json_text import MAX_JSON_BYTES_ON_LOOP, decode_json
from qda_worker.conversion.rpc_status import status_code
from qda_worker.errors import MethodUnknown, ModelUnknown
from qda_worker.http.call_requests import receive
from qda_worker.http.calls import Call, CallRunner, Outcome
from qda_worker.http.connect import compute, find_codec, read_body, read_deadline
from qda_worker.http.exchange import JSON_TYPE, Exchange, HeaderList, RequestRefused, Response, require_get
from qda_worker.http.openai.errors import build_error, locate
from qda_worker.http.openai.model_names import find_model, split_model
from qda_worker.http.openai.models import build_model, build_model_list, list_embedding_models
from qda_worker.http.openai.requests import EmbeddingsRequest, build_embed_request, parse_embeddings
from qda_worker.http.openai.responses import build_embeddings, first_failure, truncation_headers
from qda_worker.http.statuses import HTTP_STATUS, challenge, failed_outcome, status_of
from qda_worker.interceptors.errors import PUSHBACK_TRAILER
from qda_worker.interceptors.observation import CALLER_HEADER
from qda_worker.observability.call_record import current_call

PREFIX: Final = "/v1/"
EMBEDDINGS_PATH: Final = "/v1/embeddings"
MODELS_PATH: Final = "/v1/models"

_EMBED: Final = "/qda.v1.EmbeddingService/Embed"
_LIST_MODELS: Final = "/qda.v1.ModelService/ListModels"

# Bytes of vectors that are written on the event loop: those of some ten texts.
_MAX_BYTES_ON_LOOP: Final = 64 * 2**10


class OpenAiRoute:
    """Answers the paths below `/v1/`.

    Args:
        calls: finds and runs the handlers.
        catalog: for the names of models.
    """

    def __init__(self, calls: CallRunner, catalog: Catalog) -> None:
        self._calls = calls
        self._catalog = catalog
        # Clients need a number, and no file says when a model was made.
        self._created = int(time.time())

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer one request."""
        if exchange.path == EMBEDDINGS_PATH:
            return await self._embed(exchange)
        if exchange.path == MODELS_PATH:
            return await self._list_models(exchange)
        if exchange.path.startswith(f"{MODELS_PATH}/"):
            return await self._describe_model(exchange)
        await self._calls.begin(exchange.path, exchange)  # counted and logged as one that does not exist
        remedy = f"known are {EMBEDDINGS_PATH} and {MODELS_PATH}; see docs/openai.md"
        return _failed(failed_outcome(MethodUnknown("there is nothing at this path", remedy)), 404)

    async def _embed(self, exchange: Exchange) -> Response:
        parsed: EmbeddingsRequest | None = None

        async def read(call: Call) -> Message:
            nonlocal parsed
            call.admit_early()
            find_codec({JSON_TYPE: JSON_TYPE}, exchange)
            body = await read_body(exchange)
            is_quick = len(body) <= MAX_JSON_BYTES_ON_LOOP
            request, message = await compute(is_quick, self._parse, body)
            if request.user:
                current_call().metadata += ((CALLER_HEADER, request.user),)
            parsed = request
            return message

        outcome, refused = await self._call(_EMBED, exchange, read)
        if outcome.code is not grpc.StatusCode.OK or parsed is None:
            return _failed_call(outcome, refused)
        is_quick = len(outcome.response) <= _MAX_BYTES_ON_LOOP
        return await compute(is_quick, _embeddings_response, outcome.response, parsed)

    def _parse(self, body: bytes) -> tuple[EmbeddingsRequest, Message]:
        parsed = parse_embeddings(decode_json(body))
        name, prompt_name = split_model(parsed.model, parsed.prompt_name)
        key = find_model(self._catalog, name).key
        return parsed, build_embed_request(parsed, key, prompt_name)

    async def _list_models(self, exchange: Exchange) -> Response:
        outcome, refused = await self._call(_LIST_MODELS, exchange, lambda _: _read_get(exchange))
        if outcome.code is not grpc.StatusCode.OK:
            return _failed_call(outcome, refused)
        return _json(build_model_list(_models(outcome), self._created))

    async def _describe_model(self, exchange: Exchange) -> Response:
        name, _ = split_model(unquote(exchange.path.removeprefix(f"{MODELS_PATH}/")), "")
        key = ""

        async def read(_: Call) -> Message:
            nonlocal key
            message = await _read_get(exchange)
            key = find_model(self._catalog, name).key
            return message

        outcome, refused = await self._call(_LIST_MODELS, exchange, read)
        if outcome.code is not grpc.StatusCode.OK:
            return _failed_call(outcome, refused)
        found = [model for model in _models(outcome) if model.key == key]
        if not found:
            error = ModelUnknown(f'this worker does not serve "{key}"', "GET /v1/models lists what it serves")
            return _failed(failed_outcome(error), 404)
        return _json(build_model(found[0], self._created))

    async def _call(
        self, method: str, exchange: Exchange, read: Callable[[Call], Awaitable[Message]]
    ) -> tuple[Outcome, RequestRefused | None]:
        """Run a method with what `read` returns; what it raises becomes the error of the call."""
        call = await self._calls.begin(method, exchange)
        assert call is not None, method
        if call.is_refused:
            return await call.run(None, None), None
        received = await receive(read_deadline, exchange, lambda: read(call))
        outcome = await call.run(received.request, received.seconds)
        return outcome, received.refusal(outcome)


def _embeddings_response(message: bytes, request: EmbeddingsRequest) -> Response:
    response = embedding_pb2.EmbedResponse.FromString(message)
    failure = first_failure(response)
    if failure is not None:
        status = locate(failure[1], failure[0])
        return build_error(status, HTTP_STATUS[status_code(status)])
    return _json(build_embeddings(response, request.encoding_format), truncation_headers(response))


def _models(outcome: Outcome) -> list[model_pb2.ModelInfo]:
    return list_embedding_models(model_pb2.ListModelsResponse.FromString(outcome.response))


async def _read_get(exchange: Exchange) -> Message:
    require_get(exchange)
    return model_pb2.ListModelsRequest()


def _failed_call(outcome: Outcome, refused: RequestRefused | None) -> Response:
    return _failed(outcome) if refused is None else _failed(outcome, refused.status, refused.headers)


def _failed(outcome: Outcome, http_status: int | None = None, headers: HeaderList = ()) -> Response:
    status = status_of(outcome)
    status.code, status.message = outcome.code.value[0], outcome.message
    if dict(outcome.trailers).get(PUSHBACK_TRAILER) == "-1":
        headers = [*headers, ("x-should-retry", "false")]
    return build_error(status, http_status or HTTP_STATUS[outcome.code], [*headers, *challenge(outcome)])


def _json(body: bytes, headers: HeaderList = ()) -> Response:
    return Response(HTTPStatus.OK, body, [("content-type", JSON_TYPE), *headers])
