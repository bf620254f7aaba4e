"""How every service asks a model: texts into its queue, outcomes out, the call's record kept.

Nothing here computes: the queue tokenises and computes in threads of its own, and awaiting its future is all that the
event loop does. A call that is cancelled takes its texts out of the queue.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, cast

from qda.v1 import processing_pb2
from qda_worker.conversion.metadata import timings
from qda_worker.interceptors.errors import Context
from qda_worker.models.base import Options
from qda_worker.observability.call_record import CallRecord, Step, current_call
from qda_worker.registry.registry import Serving
from qda_worker.scheduling.jobs import Answered, Failed, Lane, Outcome, Timings

_Made = TypeVar("_Made")

# Texts of a search in the queue at a time, twice what a batch is chosen from: others are served in between,
# and a cancelled call stops soon.
SLICE: Final = 1024
_RESULTS_ON_THE_LOOP: Final = 64
# What is built at once on the event loop: about a millisecond's worth. More is built in a thread.
_CHARACTERS_ON_THE_LOOP: Final = 20_000


async def ask(
    serving: Serving, texts: Sequence[str], options: Options, lane: Lane, context: Context
) -> list[Outcome[Any]]:
    """The outcome of each text, in their order. Raises Overloaded, Draining or ModelFailed for all of them."""
    record = current_call()
    record.model = serving.engine.info.key
    outcomes = await serving.engine.answer(
        texts, options, lane, deadline_of(context), fairness_key(record.caller)
    )
    record.items += len(outcomes)
    record.failed_items += sum(isinstance(outcome, Failed) for outcome in outcomes)
    record_outcomes(record, outcomes)
    return outcomes


def fairness_key(caller: str) -> str:
    """Between whom a model's time is shared: callers by their names, others by their hosts, whatever the port."""
    host, _, _ = caller.rpartition(":")
    return host if caller.startswith(("ipv4:", "ipv6:")) else caller


def deadline_of(context: Context) -> float | None:
    """When the caller stops waiting, by the monotonic clock; None if never."""
    remaining = cast(
        "float | None", context.time_remaining()
    )  # None without a deadline, whatever its types say
    return None if remaining is None else time.monotonic() + remaining


def record_outcomes(record: CallRecord, outcomes: Iterable[Outcome[Any]]) -> None:
    """Adds tokens and times of what was asked to a call's record."""
    slowest, items = Timings(), 0
    for outcome in outcomes:
        items += 1
        slowest = max(slowest, outcome.timings, key=_total)
        record.queue_seconds = max(record.queue_seconds, outcome.timings.queue)
        record.tokenize_seconds += outcome.timings.tokenise
        record.compute_seconds += outcome.timings.compute
        if isinstance(outcome, Answered):
            record.tokens += outcome.usage.used_token_count
            record.cut_items += outcome.usage.cut
    record.add_step(Step(time.monotonic(), items, slowest.tokenise, slowest.queue, slowest.compute))


def _total(spent: Timings) -> float:
    return spent.tokenise + spent.queue + spent.compute


async def build_off_loop(texts: Sequence[str], build: Callable[[], _Made]) -> _Made:
    """What `build` makes of the answers to `texts`; away from the event loop where that may take long."""
    quick = len(texts) <= _RESULTS_ON_THE_LOOP and sum(map(len, texts)) <= _CHARACTERS_ON_THE_LOOP
    return build() if quick else await asyncio.to_thread(build)


def call_timings(outcomes: Sequence[Outcome[Any]], began: float) -> processing_pb2.Timings:
    """Where the time of a call went that began at `began`, by the monotonic clock."""
    return timings((outcome.timings for outcome in outcomes), time.monotonic() - began)
