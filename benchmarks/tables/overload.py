"""Goodput at ten times the load that the worker can serve.

The load is open: calls of 4 texts start at a steady rate, whether earlier ones were answered or not. Each has a
deadline. They are sent by gRPC alone, without the project's client, so that nothing is tried again.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from benchmarks.real_load import BULK_TEXT
from benchmarks.real_size import PARAPHRASE
from benchmarks.results import Better, Bound, Goal, Role, Row, Side, percentile
from benchmarks.session import Session, texts_of
from qda.v1 import embedding_pb2, embedding_pb2_grpc, text_pb2

# Texts of a call, and concurrent calls that keep the worker busy.
_CALL_TEXTS: Final = 4
_BUSY_CALLS: Final = 8
# Deadline of a call: as a multiple of its mean duration at capacity, and its limits in seconds.
_DEADLINE_FACTOR: Final = 1.5
_MIN_DEADLINE, _MAX_DEADLINE = 1.0, 15.0
_FACTOR: Final = 10
_GOODPUT: Final = 0.9


@dataclass
class Outcomes:
    """The calls of one load.

    Attributes:
        answered: texts of calls that were answered before their deadline.
        refusals: seconds until a call was refused.
        expired: calls that reached their deadline.
    """

    answered: int = 0
    refusals: list[float] = field(default_factory=list)
    expired: int = 0


def rows(session: Session) -> list[Row]:
    """Measure capacity and overload in turns."""
    worker = session.worker(PARAPHRASE)
    address = worker.process.address
    seconds = 10.0 if session.quick else 30.0
    capacity: list[float] = []
    goodput: list[float] = []
    refused: list[float] = []
    for number in range(1 if session.quick else session.repetitions):
        texts = texts_of(400, BULK_TEXT, 200 + number)
        capacity.append(asyncio.run(_closed_load(address, texts, seconds)))
        rate = _FACTOR * capacity[-1] / _CALL_TEXTS
        deadline = _deadline(capacity[-1])
        outcomes = asyncio.run(_open_load(address, texts, rate, seconds, deadline))
        goodput.append(outcomes.answered / seconds)
        refused.append(1000 * percentile(outcomes.refusals or [0.0], 0.99))
        calls = f"{len(outcomes.refusals)} calls refused, {outcomes.expired} expired"
        print(
            f"  capacity {capacity[-1]:.1f}, goodput {goodput[-1]:.1f} texts per second; {calls}", flush=True
        )
    if not session.quick:
        session.close_sides()
    labels = {"model": PARAPHRASE}
    return [
        Row(
            labels,
            "texts per second within their deadline",
            Better.HIGHER,
            (
                Side(f"{_FACTOR} times the capacity", Role.OURS, tuple(goodput), worker.note),
                Side("capacity", Role.BASELINE, tuple(capacity)),
            ),
            (Goal(Role.BASELINE, Bound.RATIO_AT_LEAST, _GOODPUT),),
        ),
        Row(
            labels,
            "p99 until a call is refused, ms",
            Better.LOWER,
            (Side(f"{_FACTOR} times the capacity", Role.OURS, tuple(refused)),),
        ),
    ]


def _deadline(capacity: float) -> float:
    """Return the seconds until the deadline of a call, for a worker of this capacity."""
    mean = _BUSY_CALLS * _CALL_TEXTS / capacity
    return min(_MAX_DEADLINE, max(_MIN_DEADLINE, _DEADLINE_FACTOR * mean))


def _method(channel: grpc.aio.Channel) -> Any:
    return embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed


def _requests(texts: list[str]) -> list[embedding_pb2.EmbedRequest]:
    parts = [texts[start : start + _CALL_TEXTS] for start in range(0, len(texts), _CALL_TEXTS)]
    return [
        embedding_pb2.EmbedRequest(model=PARAPHRASE, texts=[text_pb2.Text(content=text) for text in part])
        for part in parts
    ]


async def _closed_load(address: str, texts: list[str], seconds: float) -> float:
    """Return the texts per second of `_BUSY_CALLS` callers that send one call after the other."""
    requests = _requests(texts)
    began = time.monotonic()
    answered = 0

    async def work(number: int) -> None:
        nonlocal answered
        while time.monotonic() < began + seconds:
            await method(requests[number % len(requests)])
            answered += _CALL_TEXTS
            number += _BUSY_CALLS

    async with grpc.aio.insecure_channel(address, [("grpc.enable_retries", 0)]) as channel:
        method = _method(channel)
        await asyncio.gather(*(work(number) for number in range(_BUSY_CALLS)))
    return answered / (time.monotonic() - began)


async def _open_load(
    address: str, texts: list[str], rate: float, seconds: float, deadline: float
) -> Outcomes:
    """Start calls at a steady rate, and return what became of those that started within `seconds`.

    The load goes on until the last of them has ended, so that the worker is overloaded all the time.
    """
    requests = _requests(texts)
    outcomes = Outcomes()

    async def send(number: int) -> None:
        began = time.monotonic()
        try:
            await method(requests[number % len(requests)], timeout=deadline)
            within = first <= time.monotonic() < first + seconds
            outcomes.answered += _CALL_TEXTS * within
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                outcomes.expired += 1
            else:
                outcomes.refusals.append(time.monotonic() - began)

    async with grpc.aio.insecure_channel(address, [("grpc.enable_retries", 0)]) as channel:
        method = _method(channel)
        # The queue fills before the time is taken.
        start = time.monotonic()
        first = start + deadline
        calls: set[asyncio.Task[None]] = set()
        number = 0
        while (now := time.monotonic()) < first + seconds:
            while number < (now - start) * rate:
                call = asyncio.create_task(send(number))
                calls.add(call)
                call.add_done_callback(calls.discard)
                number += 1
            await asyncio.sleep(0.005)
        for call in calls:
            call.cancel()
        for call in list(calls):
            with suppress(asyncio.CancelledError):
                await call
    return outcomes
