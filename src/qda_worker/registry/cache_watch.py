"""From a cache that fills to models that serve, and afterwards an eye on both.

A worker does not wait for its cache by failing: it looks every few seconds, says every half minute what is missing,
loads when all is there, and goes on looking, because what was loaded may be replaced and what failed may be repaired.

Blocking work that the end of the process must not wait for: loading a model takes minutes, and nobody needs
it then.

Threads of an executor are joined when the program ends; these are not.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

from model_cache.catalog.catalog import Model
from model_cache.check.types import CheckReport
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from qda_worker.observability.logs import Log
from qda_worker.registry.registry import (
    Engine,
    ModelProblem,
    ModelRegistry,
    ServedModel,
    State,
    identities,
    replaced,
)

_Made = TypeVar("_Made")

# How the names of threads begin that load a model.
LOADING: Final = "load-"


async def in_daemon_thread(name: str, make: Callable[[], _Made]) -> _Made:
    """What `make` gives or raises, in a thread of its own. Cancelled, it goes on unheard."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[_Made] = loop.create_future()

    def tell(result: _Made | None, error: BaseException | None) -> None:
        if made.done():
            return
        if error is not None:
            made.set_exception(error)
        else:
            made.set_result(cast("_Made", result))

    def run() -> None:
        result, failure = None, None
        try:
            result = make()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await made


# Between two looks at a cache that is not complete: a look costs milliseconds, and somebody waits.
WAITING_SECONDS: Final = 2.0
# How long a model's compute thread may take to end its batch.
CLOSE_SECONDS: Final = 10.0
# Between two log lines about the same trouble.
SAY_SECONDS: Final = 30.0
# Files that such a line names; it tells how many there are.
_FILES_SAID: Final = 5


class CacheUnusable(ModelCacheError):
    """The cache or a model of it cannot be served, in a place where that ends the program (`--cache host`)."""


@dataclass(frozen=True, slots=True)
class CacheWatchDeps:
    """What the watch uses of the world; the first three may block and run in threads.

    look: check the cache. load: bring a model into memory and give its engine, which calls back, from any thread, if it
    dies (raises ModelCacheError).
    paths: each model's folder, by key. changed: called when a state may have changed. wall: seconds since 1970.
    """

    look: Callable[[], CheckReport]
    load: Callable[[Model, Callable[[str], None]], Engine]
    paths: Mapping[str, Path]
    changed: Callable[[], Awaitable[None]]
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class CacheWatch:
    """Looks, loads and tells, until it is cancelled.

    strict: raise CacheUnusable instead of waiting for something that nobody else will mend. interval: seconds between
    two looks once everything serves.
    """

    def __init__(
        self, fleet: ModelRegistry, outside: CacheWatchDeps, log: Log, *, strict: bool, interval: float
    ) -> None:
        self._fleet = fleet
        self._outside = outside
        self._log = log
        self._strict = strict
        self._interval = interval
        self._death = asyncio.Event()
        self._said: tuple[ModelProblem | None, float] = (None, 0.0)
        self._failed_since = outside.clock()

    async def run(self) -> None:
        """Watch for ever. Raises CacheUnusable if strict."""
        while True:
            await self.step()
            if self._fleet.loaded:
                await self._rest()
            if not self._fleet.loaded:
                await asyncio.sleep(WAITING_SECONDS)

    async def step(self) -> None:
        """Look once, and load what can be loaded."""
        await self.look()
        self._say()
        if self._strict and not self._fleet.complete and not self._fleet.loaded:
            raise self._unusable(self._fleet.cache_trouble(), self._missing())
        if self._fleet.complete:
            await self._load()

    async def _rest(self) -> None:
        """Let the interval pass; a model's death ends it early."""
        self._death.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._death.wait()

    async def look(self) -> None:
        """Check the cache once and note what was found."""
        fleet, outside = self._fleet, self._outside
        fleet.report = await asyncio.to_thread(outside.look)
        fleet.checked_at = outside.wall()
        present = await asyncio.to_thread(
            lambda: {
                key: identities(outside.paths[key])
                for key, member in fleet.members.items()
                if member.loaded_from
            }
        )
        for key, member in fleet.members.items():
            member.replaced = member.state is State.SERVING and replaced(
                member.loaded_from, present.get(key, {})
            )
        for key, now in present.items():
            member = fleet.members[key]
            if member.state is State.FAILED and now != member.loaded_from:
                member.state, member.trouble = (
                    State.WAITING,
                    None,
                )  # its files are others now: worth another try
        await outside.changed()

    async def _died(self, member: ServedModel, why: str) -> None:
        """Note that a model that served can answer no more. It is loaded anew after the next look."""
        member.state, member.loaded_from = State.FAILED, {}
        member.trouble = ModelProblem(
            Reason.MODEL_UNUSABLE,
            why,
            "none needed at first, it is loaded anew; if it dies again, see the log before",
        )
        self._log.error("model.died", model=member.model.key, detail=why)
        self._death.set()
        await self._outside.changed()

    async def _load(self) -> None:
        """Load all that is not loaded, side by side: reading one overlaps with building another."""
        due = [
            member
            for member in self._fleet.members.values()
            if member.state is State.WAITING or (member.state is State.FAILED and not member.loaded_from)
        ]
        for member in due:
            member.state, member.trouble = State.LOADING, None
        if due:
            await asyncio.gather(*(self._load_one(member) for member in due))

    async def _load_one(self, member: ServedModel) -> None:
        outside, key, began = self._outside, member.model.key, self._outside.clock()
        former, member.engine = member.engine, None
        loop = asyncio.get_running_loop()
        self._log.info("model.loading", model=key)
        member.loaded_from = await asyncio.to_thread(identities, outside.paths[key])
        try:
            if former is not None:
                await asyncio.to_thread(former.close, CLOSE_SECONDS)
            member.engine = await in_daemon_thread(
                LOADING + key,
                lambda: outside.load(
                    member.model, lambda why: _from_any_thread(loop, self._died, member, why)
                ),
            )
        except ModelCacheError as error:
            member.state, member.trouble = State.FAILED, ModelProblem.of(error)
            self._log_unusable(key, member.trouble)
        else:
            member.state = State.SERVING
            member.load_seconds = outside.clock() - began
            self._log.info("model.loaded", model=key, seconds=round(member.load_seconds, 2))
        await outside.changed()
        if self._strict and member.state is State.FAILED:
            raise self._unusable(member.trouble)

    def _say(self) -> None:
        """Log what is wrong with the cache, at once when it is new, else every half minute."""
        trouble, now = self._fleet.cache_trouble(), self._outside.clock()
        before, when = self._said
        if trouble is None:
            if before is not None:
                self._log.info("cache.complete", generation=self._fleet.generation)
            self._said = (None, now)
            self._say_unusable(now)
        elif trouble != before or now - when >= SAY_SECONDS:
            event = "cache.damaged" if self._fleet.loaded else "cache.waiting"
            self._log.warning(
                event,
                reason=str(trouble.reason),
                detail=trouble.detail,
                remedy=trouble.remedy,
                models=self._broken(),
                files=self._files()[:_FILES_SAID],
                problems=len(self._files()),
            )
            self._said = (trouble, now)

    def _say_unusable(self, now: float) -> None:
        """With a cache that is whole: say again which models do not load, and why."""
        failed = [member for member in self._fleet.members.values() if member.state is State.FAILED]
        if not failed:
            self._failed_since = now
        elif now - self._failed_since >= SAY_SECONDS:
            self._failed_since = now
            for member in failed:
                if member.trouble is not None:
                    self._log_unusable(member.model.key, member.trouble)

    def _log_unusable(self, key: str, trouble: ModelProblem) -> None:
        self._log.error(
            "model.unusable",
            model=key,
            reason=str(trouble.reason),
            detail=trouble.detail,
            remedy=trouble.remedy,
        )

    def _missing(self) -> str:
        """Which models are not whole, for a person who reads one line."""
        keys = self._broken()
        return f"not there as a whole: {', '.join(keys)}: " if keys else ""

    def _broken(self) -> list[str]:
        """The keys of the models that are not whole."""
        report = self._fleet.report
        return [model.key for model in report.models if model.reason is not Reason.OK] if report else []

    def _files(self) -> list[str]:
        """What is missing or bad, as the last look found it."""
        report = self._fleet.report
        if report is None:
            return []
        found = [*report.problems, *(problem for model in report.models for problem in model.problems)]
        return [problem.file for problem in found]

    def _unusable(self, trouble: ModelProblem | None, first: str = "") -> CacheUnusable:
        found = trouble or ModelProblem(Reason.INTERNAL, "the cache cannot be used", "report this")
        return CacheUnusable(first + found.detail, found.remedy, reason=found.reason)


def _from_any_thread(
    loop: asyncio.AbstractEventLoop,
    note: Callable[[ServedModel, str], Coroutine[None, None, None]],
    member: ServedModel,
    why: str,
) -> None:
    """Have the event loop note a death, unless the loop has ended: then nobody is left to serve."""
    if not loop.is_closed():
        asyncio.run_coroutine_threadsafe(note(member, why), loop)
