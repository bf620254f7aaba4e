"""How a response is sent after a fault is applied to it; decided before the first byte and without a socket."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from .answer import Answer, Body, Request, body_length, chunks, error_answer, take
from .faults import Fault, FaultKind


class Ending(Enum):
    """What happens to the connection after `stop_after` bytes of the body."""

    KEEP_OPEN = auto()
    CLOSE = auto()
    RESET = auto()
    PAUSE = auto()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A response, and how it is sent.

    `answer` None is no answer at all. `wait` is in seconds, before the answer or (with PAUSE) within it;
    None waits until the fake hub closes. With `states_length` false there is no Content-Length, and the end
    of the connection ends the body.
    """

    answer: Answer | None
    ending: Ending = Ending.KEEP_OPEN
    stop_after: int = 0
    wait: float | None = 0.0
    bytes_per_second: int | None = None
    states_length: bool = True


def plan(
    fault: Fault | None, request: Request, answer: Answer, again: Callable[[Request], Answer]
) -> Delivery:
    """Return the delivery after a fault is applied; `again` handles a changed request."""
    if fault is None:
        return Delivery(answer)
    if fault.kind is FaultKind.IGNORE_RANGE:
        headers = {name: value for name, value in request.headers.items() if name != "range"}
        return Delivery(again(dataclasses.replace(request, headers=headers)))
    return _sent_badly(fault, _another_answer(fault, request, answer))


def _another_answer(fault: Fault, request: Request, answer: Answer) -> Answer:
    """Apply faults that change the response itself; return it unchanged for all others."""
    match fault.kind:
        case FaultKind.STATUS:
            headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
            return error_answer(fault.status, fault.message, fault.error_code, headers)
        case FaultKind.PAGE:
            return Answer(200, {"Content-Type": fault.content_type}, (fault.body.encode(),))
        case FaultKind.REDIRECT_LOOP:
            return Answer(302, {"Location": request.base + request.path})
        case FaultKind.HEADERS:
            return _with_headers(answer, fault)
        case FaultKind.SHORT:
            length = max(body_length(answer.body) - fault.count, 0)
            return dataclasses.replace(answer, body=take(answer.body, 0, length))
        case FaultKind.LONG:
            return dataclasses.replace(answer, body=(*answer.body, b"\0" * fault.count))
        case FaultKind.WRONG_BYTES:
            return dataclasses.replace(answer, body=_damaged(answer, fault.after))
    return answer


def _sent_badly(fault: Fault, answer: Answer) -> Delivery:
    """Apply faults that change how a response is sent; return the usual delivery for all others."""
    match fault.kind:
        case FaultKind.DELAY:
            return Delivery(answer, wait=fault.seconds)
        case FaultKind.HANG_UP:
            return Delivery(None, Ending.CLOSE)
        case FaultKind.RESET:
            return Delivery(answer, Ending.RESET, fault.after)
        case FaultKind.CUT:
            return Delivery(answer, Ending.CLOSE, fault.after)
        case FaultKind.STALL:
            return Delivery(answer, Ending.PAUSE, fault.after, fault.seconds)
        case FaultKind.SLOW:
            return Delivery(answer, bytes_per_second=fault.bytes_per_second)
        case FaultKind.HEADERS:
            named = {name.lower(): value for name, value in fault.headers.items()}
            return Delivery(answer, states_length=named.get("content-length", "") is not None)
    return Delivery(answer)


def _with_headers(answer: Answer, fault: Fault) -> Answer:
    changed = {name.lower() for name in fault.headers}
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in changed}
    added = {name: value for name, value in fault.headers.items() if value is not None}
    return dataclasses.replace(answer, headers={**kept, **added})


def _damaged(answer: Answer, position: int) -> Body:
    """Return the body with one bit inverted: in byte `position` of the file, or in the first if that is not here."""
    length = body_length(answer.body)
    at = position - answer.start
    if not 0 <= at < length:
        at = 0
    byte = b"".join(chunks(take(answer.body, at, 1), 1))
    return (*take(answer.body, 0, at), bytes([byte[0] ^ 1]), *take(answer.body, at + 1, length))
