"""The step that all services share: texts into a model's queue, outcomes out.

A unary call submits all its texts at once (`infer`). A call with more texts than it may hold in memory submits them in
parts (`infer_parts`): four parts of 128 texts at first, and a further one or two whenever the results of the oldest one
have been taken, until eight are held. Batches take texts of similar length from all parts, so about half of the texts
that are held have been computed and wait for the oldest part, and about 512 wait to be computed, as many as a batch is
chosen from.

Nothing here computes. The queue tokenizes and computes in threads of its own, and the event loop only awaits its
future. When a call is cancelled, by its client or by its deadline, the await is cancelled and the queue drops the
texts of the call that are not computed yet.

Building a large response takes long enough to delay other calls, so `build_off_loop` moves it into a thread.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from qda_worker.errors import QueueFull
from qda_worker.interceptors.base import Context
from qda_worker.models.base import ModelInfo, Options
from qda_worker.observability.call_record import CallRecord, InferenceStep, current_call
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Caller, Failure, Lane, Outcome, PreparedAhead, Success, Timings
from qda_worker.scheduling.throughput import text_cost
from qda_worker.services.bounded_stream import BoundedPipeline

# A unary call above one of these limits is bulk unless it sets its priority: texts, and characters that the model
# reads. They are some sixteen batches on a CPU, about as many seconds with a model of the size of XLM-R base.
LARGE_CALL_TEXTS: Final = 256
LARGE_CALL_CHARACTERS: Final = 2**16

# Texts in a part of a long call.
PART_TEXTS: Final = 128
# Parts that such a call submits at first, and that it holds at most.
FIRST_PARTS: Final = 4
MAX_PARTS: Final = 8
# Bytes of the results that it holds at most; a single part may exceed it.
MAX_PART_RESULT_BYTES: Final = 64 * 2**20

# Limits for building on the event loop, in texts and in code points of all of them: about a millisecond of work.
_MAX_TEXTS_ON_LOOP: Final = 64
_MAX_CHARACTERS_ON_LOOP: Final = 20_000
# Longest wait of a stream between two attempts to enter a full queue: room that is free soon should not be missed.
_MAX_WAIT_SECONDS: Final = 5.0

_Result = TypeVar("_Result")


async def infer(
    selected: SelectedModel,
    contents: Sequence[str],
    options: Options,
    lane: Lane | None,
    context: Context,
    prepared: Sequence[PreparedAhead] = (),
) -> list[Outcome[Any]]:
    """Compute texts with a model, and add what that took to the record of the current call.

    Args:
        selected: the model.
        contents: the texts.
        options: for the model.
        lane: the lane of the queue; None: by the size of the call, see `lane_by_size`.
        context: the call, for its deadline.
        prepared: the texts as they were prepared before; empty if the queue is to prepare them.

    Returns:
        The outcome of each text, in their order. A text that fails does not fail the others.

    Raises:
        Overloaded: when the queue is full, the deadline too short, or the limit of the caller reached.
        Draining: when the worker is shutting down.
        ModelDied: when the model can answer nothing any more.
    """
    record = current_call()
    record.model = selected.engine.info.key
    if lane is None:
        lane = lane_by_size(contents, options, selected.engine.info)
    if record.budget is not None:
        record.budget.take(len(contents))
    outcomes = await selected.engine.answer(
        contents, options, lane, _monotonic_deadline(context), fairness_key(record), prepared
    )
    _record(record, outcomes)
    return outcomes


def lane_by_size(contents: Sequence[str], options: Options, info: ModelInfo) -> Lane:
    """Return the lane of a unary call that sets no priority: bulk if it is too large to be waited for.

    Args:
        contents: the texts.
        options: for the model.
        info: the model.
    """
    if len(contents) > LARGE_CALL_TEXTS:
        return Lane.BULK
    characters = sum(text_cost(text, options, info) for text in contents)
    return Lane.BULK if characters > LARGE_CALL_CHARACTERS else Lane.INTERACTIVE


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of the texts of a call.

    Attributes:
        contents: the texts.
        result_bytes: memory of their results, in bytes; 0 if only their number limits it.
        prepared: the texts as they were prepared before; empty if the queue is to prepare them.
    """

    contents: Sequence[str]
    result_bytes: int = 0
    prepared: Sequence[PreparedAhead] = ()


async def split_parts(contents: Sequence[str]) -> AsyncIterator[TextPart]:
    """Yield the parts of texts whose results are small."""
    for start in range(0, len(contents), PART_TEXTS):
        yield TextPart(contents[start : start + PART_TEXTS])


async def infer_parts(
    serving: SelectedModel, parts: AsyncIterator[TextPart], options: Options, lane: Lane | None
) -> AsyncGenerator[list[Outcome[Any]]]:
    """Compute the parts of a call, several at a time, and add what that took to the record of the current call.

    What the caller does not take is not computed; see the module for how much is. Closing the generator early takes the
    other texts out of the queue.

    Args:
        serving: the model.
        parts: the texts, in the order of the results.
        options: for the model.
        lane: the lane of the queue; None: bulk.

    Yields:
        The outcomes of each part, in their order.

    Raises:
        Draining: when the worker is ending.
        ModelDied: when the model can answer nothing any more.
    """
    record = current_call()
    record.model = serving.engine.info.key
    caller = fairness_key(record)

    async def compute(part: TextPart) -> list[Outcome[Any]]:
        outcomes = await wait_for_room(
            serving, part.contents, options, Lane.BULK if lane is None else lane, caller, part.prepared
        )
        _record(record, outcomes)
        return outcomes

    pipeline = BoundedPipeline(
        parts, compute, lambda part: part.result_bytes,
        asyncio.Event(),  # the request has arrived as a whole, so a shutdown lets it go on
        max_in_flight=MAX_PARTS, max_in_flight_bytes=MAX_PART_RESULT_BYTES, first_in_flight=FIRST_PARTS,
    )  # fmt: skip
    async with aclosing(pipeline.results()) as results:
        async for outcomes in results:
            yield outcomes


async def wait_for_room(
    serving: SelectedModel,
    contents: Sequence[str],
    options: Options,
    lane: Lane,
    caller: Caller,
    prepared: Sequence[PreparedAhead] = (),
) -> list[Outcome[Any]]:
    """Compute texts of a stream. The rule of all streams: a full queue is waited for, since it is their flow control.

    A refusal would discard the results that the stream has computed. So the caller's limit of texts per second is
    waited for as well. There is no deadline: when that of the call passes, its texts leave the queue by cancellation.

    Raises:
        Draining: when the worker is ending.
        ModelDied: when the model can answer nothing any more.
    """
    budget = current_call().budget
    if budget is not None:
        await budget.wait(len(contents))
    while True:
        try:
            return await serving.engine.answer(contents, options, lane, None, caller, prepared)
        except QueueFull as error:
            await asyncio.sleep(min(error.retry_after, _MAX_WAIT_SECONDS))


async def build_off_loop(contents: Sequence[str], build: Callable[[], _Result]) -> _Result:
    """Return what `build` returns, called in a thread if `contents` are too many or too long for the event loop."""
    is_quick = len(contents) <= _MAX_TEXTS_ON_LOOP and sum(map(len, contents)) <= _MAX_CHARACTERS_ON_LOOP
    return build() if is_quick else await asyncio.to_thread(build)


def fairness_key(record: CallRecord) -> Caller:
    """Return the caller to which the queue charges a request.

    A caller may choose any name for `x-qda-caller`, so that name only divides the share of whom the call is charged to.
    """
    return Caller(record.charged_to, record.caller if record.caller != record.peer else "")


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
            record.cached_items += outcome.timings.cached
    record.add_step(InferenceStep(time.monotonic(), items, slowest.tokenize, slowest.queue, slowest.compute))


def _total(timings: Timings) -> float:
    return timings.tokenize + timings.queue + timings.compute


def _monotonic_deadline(context: Context) -> float | None:
    """Return the deadline of a call by `time.monotonic`; None without one."""
    remaining = cast("float | None", context.time_remaining())  # the stubs say float, but it may be None
    return None if remaining is None else time.monotonic() + remaining
