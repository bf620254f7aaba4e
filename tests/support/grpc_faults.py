"""What can befall a call at the fake worker."""

from typing import Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2


class Fault(Protocol):
    """What a call meets instead of its answer; it may also let the answer pass."""

    def __call__(self, context: grpc.ServicerContext) -> None: ...


def refuse(
    code: grpc.StatusCode,
    reason: str = "",
    message: str = "because",
    *,
    details: tuple[Message, ...] = (),
    pushback: str | None = None,
) -> Fault:
    """A fault that ends the call with a rich status; without a reason with a bare one."""

    def fault(context: grpc.ServicerContext) -> None:
        if pushback is not None:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
        if not reason:
            context.abort(code, message)
        info = error_details_pb2.ErrorInfo(reason=reason, domain="qda-worker", metadata={"remedy": "mend it"})
        text = f"{reason}: {message}. Remedy: mend it"
        status = status_pb2.Status(code=code.value[0], message=text, details=packed(info, *details))
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", status.SerializeToString())]
        if pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", pushback))
        context.set_trailing_metadata(tuple(trailers))
        context.abort(code, text)

    return fault


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(
        retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
    )


def packed(*messages: Message) -> list[AnyMessage]:
    boxes = []
    for message in messages:
        box = AnyMessage()
        box.Pack(message)
        boxes.append(box)
    return boxes
