"""The Connect protocol: a method of a service as `POST /package.Service/Method`, in JSON or in binary protobuf.

See https://connectrpc.com/docs/protocol. Of a unary call, the body is the message itself, and an error is a JSON object
with an HTTP status. Of a stream, each message has a prefix (`http.envelopes`), the HTTP status is 200, and the last
message holds the error. Whatever is wrong with a request becomes an error of its call (`FailedMessage`), so that it is
logged and counted like one of gRPC. What the head of a request shows to be wrong is refused before its body is read.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from qda_worker.conversion.json_requests import JsonMessage
from qda_worker.conversion.json_responses import build_json
from qda_worker.conversion.json_text import MAX_JSON_BYTES_ON_LOOP
from qda_worker.conversion.parse_errors import deferring_parser
from qda_worker.errors import ArgumentInvalid, MethodUnknown
from qda_worker.http.call_requests import receive
from qda_worker.http.calls import Call, CallRunner, Outcome
from qda_worker.http.compression import accepts_gzip, gunzip, gzip
from qda_worker.http.envelopes import END_STREAM, MAX_ENVELOPE_BYTES, EnvelopeReader, pack
from qda_worker.http.exchange import JSON_TYPE, Exchange, RequestRefused, Response
from qda_worker.http.statuses import HTTP_STATUS, connect_error, error_response, failed_outcome
from qda_worker.limits import MAX_REQUEST_BYTES
from qda_worker.observability.call_record import current_call

PROTO_TYPE: Final = "application/proto"
PROTOCOL_VERSION: Final = "1"
# The shortest response that is compressed, in bytes.
MIN_COMPRESSED_BYTES: Final = 1024

_MAX_TIMEOUT_DIGITS: Final = 10

_CodecType = TypeVar("_CodecType")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Codec:
    """How the messages of a content type are read and written.

    Attributes:
        content_type: of requests and responses.
        read: what the handler is given for the bytes of a request.
        write: returns the serialized response of a handler in this form; slow for a long one.
    """

    content_type: str
    read: Callable[[bytes, MethodDescriptor], Any]
    write: Callable[[bytes, Descriptor], bytes]


def _read_json(data: bytes, method: MethodDescriptor) -> Any:
    return JsonMessage(data, method.input_type)


def _write_json(response: bytes, descriptor: Descriptor) -> bytes:
    return build_json(message_factory.GetMessageClass(descriptor).FromString(response))


def _read_proto(data: bytes, method: MethodDescriptor) -> Any:
    parse = message_factory.GetMessageClass(method.input_type).FromString
    return deferring_parser(parse, method.input_type)(data)


def _write_proto(response: bytes, _: Descriptor) -> bytes:
    return response


_UNARY_CODECS: Final = {
    JSON_TYPE: _Codec(JSON_TYPE, _read_json, _write_json),
    PROTO_TYPE: _Codec(PROTO_TYPE, _read_proto, _write_proto),
}
_STREAM_JSON: Final = "application/connect+json"
_STREAM_CODECS: Final = {
    f"application/connect+{name}": _Codec(f"application/connect+{name}", codec.read, codec.write)
    for name, codec in (("json", _UNARY_CODECS[JSON_TYPE]), ("proto", _UNARY_CODECS[PROTO_TYPE]))
}


class ConnectRoute:
    """Answers the calls of the Connect protocol.

    Args:
        calls: finds and runs the handlers.
    """

    def __init__(self, calls: CallRunner) -> None:
        self._calls = calls

    async def __call__(self, exchange: Exchange) -> Response | None:
        """Answer one request."""
        call = await self._calls.begin(exchange.path, exchange)
        if call is None:
            error = MethodUnknown("there is no method at this path")
            return error_response(failed_outcome(error), 404)
        if call.is_unary:
            return await self._unary(call, exchange)
        return await self._stream(call, exchange)

    async def _unary(self, call: Call, exchange: Exchange) -> Response:
        method = call.method
        if call.is_refused:
            return error_response(await call.run(None, None))
        codec = _UNARY_CODECS[JSON_TYPE]

        async def read() -> Any:
            nonlocal codec
            call.admit_early()
            codec = find_codec(_UNARY_CODECS, exchange)
            return codec.read(await read_body(exchange), method)

        received = await receive(read_deadline, exchange, read)
        outcome = await call.run(received.request, received.seconds)
        if outcome.code is not grpc.StatusCode.OK:
            return _failed(outcome, received.refusal(outcome))
        return await _answer(outcome, codec, method, exchange)

    async def _stream(self, call: Call, exchange: Exchange) -> Response | None:
        method = call.method
        if call.is_refused:
            return error_response(await call.run(None, None))
        codec = _STREAM_CODECS[_STREAM_JSON]

        def read_message(data: bytes) -> Any:
            current_call().received_bytes += len(data)
            return codec.read(data, method)

        async def read() -> Any:
            nonlocal codec
            codec = find_codec(_STREAM_CODECS, exchange)
            decompress = _stream_decompressor(exchange)
            call.admit_early()
            if not method.client_streaming:
                exchange.check_length(MAX_ENVELOPE_BYTES)
            messages = EnvelopeReader(
                exchange, read_message, decompress, is_single=not method.client_streaming
            )
            return messages if method.client_streaming else await messages.only()

        received = await receive(read_deadline, exchange, read)
        if received.refused is not None:
            outcome = await call.run(received.request, received.seconds, _discard)
            return _failed(outcome, received.refusal(outcome))
        write = await exchange.stream(200, [("content-type", codec.content_type)])

        async def send(response: bytes) -> None:
            is_quick = len(response) <= MAX_JSON_BYTES_ON_LOOP
            await write(pack(await compute(is_quick, codec.write, response, method.output_type)))

        outcome = await call.run(received.request, received.seconds, send)
        if outcome.response:
            await send(outcome.response)
        end = {} if outcome.code is grpc.StatusCode.OK else {"error": connect_error(outcome)}
        await write(pack(json.dumps(end, ensure_ascii=False).encode(), END_STREAM))
        return None


def _failed(outcome: Outcome, refused: RequestRefused | None) -> Response:
    if refused is None:
        return error_response(outcome)
    return error_response(outcome, refused.status, refused.headers)


async def _discard(_: bytes) -> None:
    """Send nothing: the call has failed."""


def find_codec(codecs: Mapping[str, _CodecType], exchange: Exchange) -> _CodecType:
    """Return the codec of a request's content type.

    Raises:
        RequestRefused: when the method is not POST, or the content type is another one.
    """
    if exchange.method != "POST":
        raise RequestRefused(
            405,
            ArgumentInvalid("a method is called by POST", "send the request as the body of a POST"),
            [("allow", "POST, OPTIONS")],
        )
    name, _, parameters = exchange.header("content-type").partition(";")
    codec = codecs.get(name.strip().lower())
    charset = re.fullmatch(r'\s*(charset\s*=\s*"?utf-8"?)?\s*', parameters, re.IGNORECASE)
    if codec is None or charset is None:
        raise RequestRefused(
            415,
            ArgumentInvalid(
                "the content type is not one of this method",
                f"send the header Content-Type: {next(iter(codecs))}, or one of {', '.join(codecs)}",
            ),
            [("accept-post", ", ".join(codecs))],
        )
    if exchange.header("connect-protocol-version") not in ("", PROTOCOL_VERSION):
        raise RequestRefused(
            400,
            ArgumentInvalid(
                "only version 1 of the Connect protocol is known", "send Connect-Protocol-Version: 1"
            ),
        )
    return codec


def read_deadline(exchange: Exchange) -> float | None:
    """Return the deadline of a call on the monotonic clock; None without one."""
    text = exchange.header("connect-timeout-ms")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_TIMEOUT_DIGITS):
        raise RequestRefused(
            400,
            ArgumentInvalid("Connect-Timeout-Ms is not a number of milliseconds", "send at most ten digits"),
        )
    return time.monotonic() + int(text) / 1000


def _stream_decompressor(exchange: Exchange) -> Callable[[bytes], Awaitable[bytes]] | None:
    """Return what decompresses the messages of a stream; None where none are compressed."""
    if not _is_gzip(exchange.header("connect-content-encoding"), "connect-accept-encoding"):
        return None
    return lambda data: gunzip(data, exchange.transport.memory)


async def compute(is_quick: bool, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return what a function returns, called on the event loop if it is quick, else in a thread."""
    return function(*arguments) if is_quick else await asyncio.to_thread(function, *arguments)


async def read_body(exchange: Exchange) -> bytes:
    """Return the whole body of a request, decompressed, and count its bytes.

    Raises:
        RequestRefused: when it is too large, or cannot be decompressed.
    """
    is_compressed = _is_gzip(exchange.header("content-encoding"), "accept-encoding")
    data = await exchange.read(MAX_REQUEST_BYTES)
    if is_compressed:
        memory, body = exchange.transport.memory, data
        data = await gunzip(body, memory)
        memory.give_back(len(body))
    current_call().received_bytes += len(data)
    return data


def _is_gzip(encoding: str, known: str) -> bool:
    """Return whether a content encoding is gzip, and not none.

    Args:
        encoding: the value of a header.
        known: the header of a refusal that names the encodings that are known.

    Raises:
        RequestRefused: when it is another one.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip"):
        error = ArgumentInvalid("the body has an unknown encoding", "compress it with gzip, or not at all")
        raise RequestRefused(415, error, [(known, "gzip")])
    return encoding == "gzip"


async def _answer(outcome: Outcome, codec: _Codec, method: MethodDescriptor, exchange: Exchange) -> Response:
    headers: list[tuple[str, str]] = [("content-type", codec.content_type)]
    headers += [(f"trailer-{name}", value) for name, value in outcome.trailers if isinstance(value, str)]
    compress = len(outcome.response) >= MIN_COMPRESSED_BYTES and accepts_gzip(exchange.headers)

    def build() -> bytes:
        body = codec.write(outcome.response, method.output_type)
        return gzip(body) if compress else body

    if compress:
        headers.append(("content-encoding", "gzip"))
    headers.append(("vary", "accept-encoding"))
    is_quick = len(outcome.response) <= MAX_JSON_BYTES_ON_LOOP
    return Response(HTTP_STATUS[outcome.code], await compute(is_quick, build), headers)
