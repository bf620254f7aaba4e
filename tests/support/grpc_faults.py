"""Faults for calls to the fake worker."""

import threading
from typing import Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2


class Fault(Protocol):
    """Called before a call is answered; may abort it, delay it or do nothing."""

    def __call__(self, context: grpc.ServicerContext) -> None: ...


def refuse(
    code: grpc.StatusCode,
    reason: str = "",
    message: str = "because",
    *,
    details: tuple[Message, ...] = (),
    pushback: str | None = None,
) -> Fault:
    """Return a fault that aborts the call with a `google.rpc.Status`; without a reason only with code and message."""

    def fault(context: grpc.ServicerContext) -> None:
        if pushback is not None:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
        if not reason:
            context.abort(code, message)
        info = error_details_pb2.ErrorInfo(
            reason=reason, domain="qda-worker", metadata={"remedy": "correct it"}
        )
        text = f"{reason}: {message}. Remedy: correct it"
        status = status_pb2.Status(code=code.value[0], message=text, details=pack(info, *details))
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", status.SerializeToString())]
        if pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", pushback))
        context.set_trailing_metadata(tuple(trailers))
        context.abort(code, text)

    return fault


def hang(arrived: threading.Event, released: threading.Event) -> Fault:
    """Return a fault that sets `arrived`, then waits for `released`."""

    def fault(context: grpc.ServicerContext) -> None:
        arrived.set()
        released.wait(30)

    return fault


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(
        retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
    )


def pack(*messages: Message) -> list[AnyMessage]:
    packed = []
    for message in messages:
        any_message = AnyMessage()
        any_message.Pack(message)
        packed.append(any_message)
    return packed
