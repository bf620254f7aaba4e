"""Any bytes and any message get a status with a reason, and the server survives them."""

import math
import random
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from qda.v1 import analysis_pb2, embedding_pb2, entity_pb2, model_pb2, paraphrase_pb2, sentiment_pb2
from qda_worker.conversion.parse_errors import is_repeated
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.process import ServeProcess

PROTOS: Final = (sentiment_pb2, entity_pb2, embedding_pb2, paraphrase_pb2, analysis_pb2, model_pb2)
OURS: Final = {
    f"/{service.full_name}/{method.name}": method
    for proto in PROTOS
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
LIBRARY: Final = {
    f"/{service.full_name}/{method.name}": method
    for service in (
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    )
    for method in service.methods
}
WORDS: Final = (
    "",
    "Köln",
    "Das war gut. Schlecht!",
    "\x00",
    "😀",
    "u\u0308",
    "x" * 300,
    "tiny-ner",
    "PER",
    "<b>ä</b>",
)
NUMBERS: Final = (0, 1, -1, 3, 99, 2**31 - 1, -(2**31))
FLOATS: Final = (0.0, -0.5, 0.9, 2.0, math.nan, math.inf, -math.inf)
# Field 1 with five bytes that are not UTF-8: the name of the service in health, the host in reflection.
BROKEN: Final = b"\x0a\x05\xff\xfe\xfd\xfc\xfb"


def send(channel: grpc.Channel, method: str, kind: MethodDescriptor, data: list[bytes]) -> grpc.StatusCode:
    """Return the status of a call that sends raw bytes; fails if it ends without one."""
    options: dict[str, Any] = {"request_serializer": bytes, "response_deserializer": bytes}
    call_types: dict[tuple[bool, bool], Any] = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, True): channel.stream_stream,
    }
    call = call_types[kind.client_streaming, kind.server_streaming](method, **options)
    try:
        answer = call(iter(data) if kind.client_streaming else data[0], timeout=TIMEOUT)
        if kind.server_streaming and method != "/grpc.health.v1.Health/Watch":
            list(answer)
        elif kind.server_streaming:
            next(answer)
            answer.cancel()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


BUGS: Final = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.mark.parametrize("method", OURS)
def test_random_bytes_are_invalid_arguments(worker: ServeProcess, method: str) -> None:
    draw = random.Random(method)
    with worker.channel() as channel:
        for _ in range(25):
            data = [draw.randbytes(draw.randrange(1, 60)) for _ in range(draw.randrange(1, 4))]
            code = send(channel, method, OURS[method], data)
            # Some bytes are a message of unknown fields, and ListModels needs none.
            assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK}, data


@pytest.mark.parametrize("method", OURS)
def test_random_messages_are_answered_or_refused_with_a_reason(worker: ServeProcess, method: str) -> None:
    draw = random.Random(method)
    with worker.channel() as channel:
        for _ in range(25):
            parts = [random_message(draw, OURS[method].input_type, 0) for _ in range(draw.randrange(1, 4))]
            code = send(channel, method, OURS[method], [part.SerializeToString() for part in parts])
            assert code not in BUGS, parts


def random_message(draw: random.Random, descriptor: Descriptor, depth: int) -> Message:
    """Return a message with random fields set to random values of their types."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if draw.random() < 0.4 or depth > 4:
            continue
        if is_repeated(field):
            for _ in range(draw.randrange(4)):
                if field.message_type:
                    getattr(message, field.name).append(random_message(draw, field.message_type, depth + 1))
                else:
                    getattr(message, field.name).append(random_value(draw, field))
        elif field.message_type:
            inner = random_message(draw, field.message_type, depth + 1)
            getattr(message, field.name).CopyFrom(inner)
        else:
            setattr(message, field.name, random_value(draw, field))
    return message


def random_value(draw: random.Random, field: FieldDescriptor) -> object:
    if field.type == FieldDescriptor.TYPE_STRING:
        return draw.choice(WORDS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw.randbytes(5)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return draw.random() < 0.5
    if field.type in {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}:
        return draw.choice(FLOATS)
    if field.enum_type and draw.random() < 0.8:
        return draw.choice(field.enum_type.values).number
    return draw.choice(NUMBERS)


@pytest.mark.parametrize("method", LIBRARY)
def test_health_and_reflection_refuse_malformed_messages(worker: ServeProcess, method: str) -> None:
    with worker.channel() as channel:
        for data in (BROKEN, b"\xff", b"\x0a\x7f"):
            code = send(channel, method, LIBRARY[method], [data])
            unread = method.endswith("/List") and data == BROKEN  # its request has no fields
            assert code is (grpc.StatusCode.OK if unread else grpc.StatusCode.INVALID_ARGUMENT), data


def test_health_still_answers_valid_requests(worker: ServeProcess) -> None:
    assert worker.health("qda.v1.SentimentService") == "SERVING"
    with worker.channel() as channel:
        watch = LIBRARY["/grpc.health.v1.Health/Watch"]
        assert send(channel, "/grpc.health.v1.Health/Watch", watch, [b""]) is grpc.StatusCode.OK
