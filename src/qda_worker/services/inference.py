"""The step that all services share: texts into a model's queue, outcomes out.

Nothing here computes. The queue tokenizes and computes in threads of its own, and the event loop only awaits its
future. When a call is cancelled, by its client or by its deadline, the await is cancelled and the queue drops the
texts of the call that are not computed yet.

Building a large response takes long enough to delay other calls, so `build_off_loop` moves it into a thread.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, cast

from qda_worker.errors import QueueFull
from qda_worker.interceptors.base import Context
from qda_worker.models.base import Options
from qda_worker.observability.call_record import CallRecord, InferenceStep, current_call
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Caller, Failure, Lane, Outcome, Success, Timings

# Limits for building on the event loop, in texts and in code points of all of them: about a millisecond of work.
_MAX_TEXTS_ON_LOOP: Final = 64
_MAX_CHARACTERS_ON_LOOP: Final = 20_000
# Longest wait of a stream between two attempts to enter a full queue: room that is free soon should not be missed.
_MAX_WAIT_SECONDS: Final = 5.0

_Result = TypeVar("_Result")


async def infer(
    selected: SelectedModel, contents: Sequence[str], options: Options, lane: Lane, context: Context
) -> list[Outcome[Any]]:
    """Compute texts with a model, and add what that took to the record of the current call.

    Args:
        selected: the model.
        contents: the texts.
        options: for the model.
        lane: the lane of the queue.
        context: the call, for its deadline.

    Returns:
        The outcome of each text, in their order. A text that fails does not fail the others.

    Raises:
        Overloaded: when the queue is full or the deadline too short.
        Draining: when the worker is shutting down.
        ModelDied: when the model can answer nothing any more.
    """
    record = current_call()
    record.model = selected.engine.info.key
    outcomes = await selected.engine.answer(
        contents, options, lane, _monotonic_deadline(context), fairness_key(record)
    )
    _record(record, outcomes)
    return outcomes


async def infer_part(
    serving: SelectedModel, contents: Sequence[str], options: Options, lane: Lane
) -> list[Outcome[Any]]:
    """Compute texts that are a part of a stream, and add what that took to the record of the current call.

    Arguments, result and errors are those of `infer`, except that a full queue is waited for; see `wait_for_room`.
    """
    record = current_call()
    record.model = serving.engine.info.key
    outcomes = await wait_for_room(serving, contents, options, lane, fairness_key(record))
    _record(record, outcomes)
    return outcomes


async def wait_for_room(
    serving: SelectedModel, contents: Sequence[str], options: Options, lane: Lane, caller: Caller
) -> list[Outcome[Any]]:
    """Compute texts of a stream. The rule of all streams: a full queue is waited for, since it is their flow control.

    A refusal would discard the results that the stream has computed. There is no deadline: when that of the call
    passes, its texts leave the queue by cancellation.

    Raises:
        Draining: when the worker is ending.
        ModelDied: when the model can answer nothing any more.
    """
    while True:
        try:
            return await serving.engine.answer(contents, options, lane, None, caller)
        except QueueFull as error:
            await asyncio.sleep(min(error.retry_after, _MAX_WAIT_SECONDS))


async def build_off_loop(contents: Sequence[str], build: Callable[[], _Result]) -> _Result:
    """Return what `build` returns, called in a thread if `contents` are too many or too long for the event loop."""
    is_quick = len(contents) <= _MAX_TEXTS_ON_LOOP and sum(map(len, contents)) <= _MAX_CHARACTERS_ON_LOOP
    return build() if is_quick else await asyncio.to_thread(build)


def fairness_key(record: CallRecord) -> Caller:
    """Return the caller to which the queue charges a request.

    The host is the name in the client's certificate, else the address without the port, so that more connections do
    not give a larger share. A caller may choose any name, so a name only divides the share of its host.
    """
    host, _, _ = record.peer.rpartition(":")
    address = host if record.peer.startswith(("ipv4:", "ipv6:")) else record.peer
    return Caller(record.peer_name or address, record.caller if record.caller != record.peer else "")


def _record(record: CallRecord, outcomes: Sequence[Outcome[Any]]) -> None:
    record.items += len(outcomes)
    record.failed_items += sum(isinstance(outcome, Failure) for outcome in outcomes)
    record_outcomes(record, outcomes)


def record_outcomes(record: CallRecord, outcomes: Iterable[Outcome[Any]]) -> None:
    """Add tokens and times of outcomes that were computed together to a call's record, as one step of its trace."""
    slowest, items = Timings(), 0
    for outcome in outcomes:
        items += 1
        slowest = max(slowest, outcome.timings, key=_total)
        record.queue_seconds = max(record.queue_seconds, outcome.timings.queue)
        record.tokenize_seconds += outcome.timings.tokenize
        record.compute_seconds += outcome.timings.compute
        if isinstance(outcome, Success):
            record.tokens += outcome.usage.used_token_count
            record.cut_items += outcome.usage.cut
    record.add_step(InferenceStep(time.monotonic(), items, slowest.tokenize, slowest.queue, slowest.compute))


def _total(timings: Timings) -> float:
    return timings.tokenize + timings.queue + timings.compute


def _monotonic_deadline(context: Context) -> float | None:
    """Return the deadline of a call by `time.monotonic`; None without one."""
    remaining = cast("float | None", context.time_remaining())  # the stubs say float, but it may be None
    return None if remaining is None else time.monotonic() + remaining
