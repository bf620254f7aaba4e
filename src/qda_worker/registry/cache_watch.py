"""The loop that checks the cache, loads the models, and watches both until the worker ends.

A worker does not exit because its cache is incomplete. `CacheWatch.run` is one asyncio task:

1. Check the cache, in a worker thread. Until every model serves, the check is repeated every `WAITING_SECONDS`; then
   every `interval`, because files that are in use may be replaced and files that failed may be repaired.
2. When the cache is complete, load all models that are not loaded, in parallel. Each load runs in its own daemon
   thread, because a load takes minutes and the end of the process must not wait for it.
3. Read the result of the last deep check, which another program writes to the volume. A model that has loaded files
   in which it found damage is marked as damaged until it is loaded again. With `reload_mended` it is loaded again as
   soon as its files were replaced by good ones; else it serves on, and a restart of the worker loads them.
4. Log what is missing or damaged, at once when it changes and then every `LOG_SECONDS`.

Who asks for the state of the cache shall not get an old one: `refresh` checks it again, at most every `REFRESH_SECONDS`
and at most once at a time.

A model that fails to load stays FAILED until its files change. A model whose process ended during the load is loaded
again after the next check. So is a model that dies while it loads or serves (its compute thread ended, or its process
ended and could not be started again). Models that serve keep serving when the cache is damaged later. With `strict`,
for a cache on the host that no other program will repair, a problem raises `CacheUnusable` instead.

The states in `ModelRegistry` are changed in the event loop only; reports from other threads are passed to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from model_cache.catalog.catalog import Model
from model_cache.check.deep_check_record import DeepCheck
from model_cache.check.types import CheckReport, all_problems
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from qda_worker.errors import DeviceLost, LoadInterrupted
from qda_worker.registry.daemon_thread import run_in_daemon_thread
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import (
    FileIdentities,
    ModelProblem,
    ModelRegistry,
    ModelState,
    ServedModel,
    any_file_replaced,
    file_identities,
)

# Prefix of the names of threads that load a model; the rest is the key of the model.
LOAD_THREAD_PREFIX: Final = "load-"

# Interval between two checks until every model serves. A check takes milliseconds, and callers are waiting.
WAITING_SECONDS: Final = 2.0
# Age of the last check from which `refresh` makes another one: it takes up to 100 ms of a processor.
REFRESH_SECONDS: Final = 2.0
# Maximum wait for that check, for a volume that does not answer.
_REFRESH_WAIT_SECONDS: Final = 5.0
# Maximum wait for the compute thread of a model that is replaced.
CLOSE_SECONDS: Final = 10.0
# Interval between two log lines about the same problem.
LOG_SECONDS: Final = 30.0
# Maximum number of files named in such a line; the total is logged beside them.
_MAX_LOGGED_FILES: Final = 5


class CacheUnusable(ModelCacheError):
    """The cache or one of its models cannot be served, and that ends the program (`--cache host`)."""


@dataclass(frozen=True, slots=True)
class CacheWatchDeps:
    """Functions and values that the watch depends on.

    Attributes:
        check: checks the cache. May block; called in a worker thread.
        load: loads a model and returns its engine, or raises ModelCacheError. May block; called in a thread of its own.
            Its second argument is to be called with the reason, from any thread, if the model dies.
        paths: folder of each model, by key.
        forms: folder of the prepared forms of each model that is served with one, by key.
        deep_check: reads the last deep check; None: there is none. May block; called in a worker thread.
        on_change: called in the event loop when the state of a model or of the cache may have changed.
        is_waiting: returns whether a warm runs or is about to start: then an incomplete cache causes no warning.
        clock: monotonic seconds.
        wall_clock: seconds since 1970.
    """

    check: Callable[[], CheckReport]
    load: Callable[[Model, Callable[[str], None]], Engine]
    paths: Mapping[str, Path]
    on_change: Callable[[], Awaitable[None]]
    is_waiting: Callable[[], bool] = lambda: False
    deep_check: Callable[[], DeepCheck | None] = lambda: None
    forms: Mapping[str, Path] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time


@dataclass(slots=True)
class _LoadAttempt:
    """One load of a model, and what became of it.

    Attributes:
        over: whether the load has ended, well or not.
        death: why the model died during the load; None if it did not.
    """

    over: bool = False
    death: str | None = None


class CacheWatch:
    """Checks the cache, loads models and logs problems until its task is cancelled."""

    def __init__(
        self,
        registry: ModelRegistry,
        deps: CacheWatchDeps,
        log: FilteringBoundLogger,
        *,
        strict: bool,
        interval: float,
        reload_mended: bool = False,
    ) -> None:
        """Create the watch; `run` starts it.

        Args:
            registry: the models to load; their states are updated.
            deps: functions and values that the watch depends on.
            log: the structured log.
            strict: raise CacheUnusable instead of waiting for a repair.
            interval: seconds between two checks when every model serves.
            reload_mended: load a damaged model again when its files were mended. It answers no calls meanwhile, so this
                is for a worker that a damaged model makes unready.
        """
        self._reload_mended = reload_mended
        self._registry = registry
        self._deps = deps
        self._log = log
        self._strict = strict
        self._interval = interval
        self._model_died = asyncio.Event()
        self._checking: asyncio.Task[None] | None = None  # the last check, which may have ended
        self._checked_at: float | None = None  # when it ended, by the monotonic clock
        self._attempts: dict[str, _LoadAttempt] = {}  # the last one of each model, by key
        self._last_logged: tuple[ModelProblem | None, float] = (None, 0.0)  # the last problem, and when
        self._failed_since = deps.clock()  # or since the last log lines about failed models

    async def run(self) -> None:
        """Check and load without end.

        Raises:
            CacheUnusable: when `strict` and the cache or a model cannot be served.
        """
        while True:
            await self.step()
            if self._registry.all_serving:
                await self._wait_for_next_check()
            if not self._registry.all_serving:
                await asyncio.sleep(WAITING_SECONDS)

    async def step(self) -> None:
        """Check once, and load what can be loaded.

        Raises:
            CacheUnusable: when `strict` and the cache or a model cannot be served.
        """
        await self.check()
        self._log_cache_problem()
        if self._strict and not self._registry.cache_complete and not self._registry.all_serving:
            raise _cache_unusable(self._registry.cache_problem(), self._incomplete_models())
        if self._registry.cache_complete:
            await self._load_due_models()

    async def refresh(self) -> None:
        """Check the cache if the last check is older than `REFRESH_SECONDS`; wait some seconds at most for it."""
        now = self._deps.clock()
        if self._checked_at is None or now - self._checked_at >= REFRESH_SECONDS:
            done, _ = await asyncio.wait([self._start_check()], timeout=_REFRESH_WAIT_SECONDS)
            if done and self._checked_at is not None:
                self._log_cache_problem()

    async def check(self) -> None:
        """Check the cache once and update the registry with the result; wait for a check that runs already."""
        await asyncio.shield(self._start_check())

    def _start_check(self) -> "asyncio.Task[None]":
        """Return the task of the check that runs, or of a new one."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        return self._checking

    async def _check(self) -> None:
        registry, deps = self._registry, self._deps
        registry.report = await asyncio.to_thread(deps.check)
        registry.checked_at = deps.wall_clock()
        registry.deep_check = await asyncio.to_thread(deps.deep_check)
        identities = await asyncio.to_thread(
            lambda: {
                key: self._file_identities(key)
                for key, served in registry.models.items()
                if served.loaded_files
            }
        )
        for key, served in registry.models.items():
            served.files_replaced = served.state is ModelState.SERVING and any_file_replaced(
                served.loaded_files, identities.get(key, {})
            )
        self._mark_damaged_models()
        for key, now in identities.items():
            served = registry.models[key]
            if served.state is ModelState.FAILED and now != served.loaded_files:
                # The files have changed since the failed load, so another attempt may succeed.
                served.state, served.problem = ModelState.WAITING, None
        self._checked_at = deps.clock()
        await deps.on_change()

    def _file_identities(self, key: str) -> FileIdentities:
        """Return the identity of each file of a model, and of its prepared forms: a new one is worth a load."""
        folders = [self._deps.paths[key], *([self._deps.forms[key]] if key in self._deps.forms else [])]
        return file_identities(*folders)

    def _mark_damaged_models(self) -> None:
        """Mark the models that were loaded from files in which the last deep check found damage, or would be."""
        deep_check = self._registry.deep_check
        corrupt = deep_check.corrupt_models if deep_check else frozenset[str]()
        mended = deep_check.mended_models if deep_check else frozenset[str]()
        for key, served in self._registry.models.items():
            # Files that are good by now do not help a model that has loaded the former ones.
            has_old_files = served.files_replaced and (served.damaged or key in mended)
            damaged = key in corrupt or has_old_files
            if damaged and not served.damaged:
                self._log.error("model.damaged", model=key, deep_check=deep_check and deep_check.record.ended)
            served.damaged = damaged
            if self._reload_mended and has_old_files and key not in corrupt and self._registry.cache_complete:
                served.state = ModelState.WAITING

    async def _wait_for_next_check(self) -> None:
        """Wait for the interval to pass or a model to die."""
        self._model_died.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._model_died.wait()

    async def _load_due_models(self) -> None:
        """Load all models that are not loaded, in parallel: reading one overlaps with building another."""
        due = [
            served
            for served in self._registry.models.values()
            if served.state is ModelState.WAITING
            or (served.state is ModelState.FAILED and not served.loaded_files)
        ]
        for served in due:
            served.state, served.problem = ModelState.LOADING, None
            served.files_replaced = False
        if due:
            await asyncio.gather(*(self._load(served) for served in due))

    async def _load(self, served: ServedModel) -> None:
        deps, key, began = self._deps, served.model.key, self._deps.clock()
        old_engine, served.engine = served.engine, None
        attempt = _LoadAttempt()
        self._attempts[key] = attempt
        loop = asyncio.get_running_loop()
        self._log.info("model.loading", model=key)
        served.loaded_files = await asyncio.to_thread(self._file_identities, key)
        try:
            if old_engine is not None:
                await asyncio.to_thread(old_engine.close, CLOSE_SECONDS)
            served.engine = await run_in_daemon_thread(
                LOAD_THREAD_PREFIX + key,
                lambda: deps.load(
                    served.model,
                    lambda reason: _call_in_loop(loop, self._record_death, served, attempt, reason),
                ),
            )
        except ModelCacheError as error:
            served.state, served.problem = ModelState.FAILED, ModelProblem.from_error(error)
            self._log_unusable_model(key, served.problem)
            served.device_lost = isinstance(error, DeviceLost)  # turns liveness, so that the pod restarts
            if isinstance(error, LoadInterrupted):
                served.loaded_files = {}  # the same files may load at the next attempt
        else:
            served.state = ModelState.SERVING
            served.load_seconds = deps.clock() - began
            self._log.info(
                "model.loaded",
                model=key,
                seconds=round(served.load_seconds, 2),
                **served.engine.log_fields,
            )
        attempt.over = True
        if attempt.death is not None and served.state is ModelState.SERVING:
            await self._record_death(served, attempt, attempt.death)
        await deps.on_change()
        if self._strict and served.state is ModelState.FAILED:
            raise _cache_unusable(served.problem)

    async def _record_death(self, served: ServedModel, attempt: "_LoadAttempt", reason: str) -> None:
        """Mark a model that served as FAILED. It is loaded again after the next check.

        A death during the load is kept until the load is over, which would otherwise report the model as SERVING. That
        of an engine which has been replaced meanwhile is no news.
        """
        if self._attempts[served.model.key] is not attempt:
            return
        if not attempt.over:
            attempt.death = reason
            return
        served.state, served.loaded_files = ModelState.FAILED, {}
        served.problem = ModelProblem(
            Reason.MODEL_UNUSABLE,
            reason,
            "none needed at first, the model is loaded again; if it dies again, see the log before its death",
        )
        self._log.error("model.died", model=served.model.key, detail=reason)
        self._model_died.set()
        await self._deps.on_change()

    def _log_cache_problem(self) -> None:
        """Log what is wrong with the cache, at once when it changes and then every LOG_SECONDS."""
        problem, now = self._registry.cache_problem(), self._deps.clock()
        logged, logged_at = self._last_logged
        if problem is None:
            if logged is not None:
                self._log.info("cache.complete", generation=self._registry.generation)
            self._last_logged = (None, now)
            self._log_failed_models(now)
        elif problem != logged or now - logged_at >= LOG_SECONDS:
            event = "cache.damaged" if self._registry.all_serving else "cache.waiting"
            files = self._problem_files()
            waits = event == "cache.waiting" and self._deps.is_waiting()
            (self._log.info if waits else self._log.warning)(
                event,
                reason=str(problem.reason),
                detail=problem.detail,
                remedy=problem.remedy,
                models=self._incomplete_models(),
                files=files[:_MAX_LOGGED_FILES],
                problems=len(files),
            )
            self._last_logged = (problem, now)

    def _log_failed_models(self, now: float) -> None:
        """If the cache is complete, log every LOG_SECONDS which models failed to load, and why."""
        failed = [served for served in self._registry.models.values() if served.state is ModelState.FAILED]
        if not failed:
            self._failed_since = now
        elif now - self._failed_since >= LOG_SECONDS:
            self._failed_since = now
            for served in failed:
                if served.problem is not None:
                    self._log_unusable_model(served.model.key, served.problem)

    def _log_unusable_model(self, key: str, problem: ModelProblem) -> None:
        self._log.error(
            "model.unusable",
            model=key,
            reason=str(problem.reason),
            detail=problem.detail,
            remedy=problem.remedy,
        )

    def _incomplete_models(self) -> list[str]:
        """Return the keys of the models whose files are not complete."""
        report = self._registry.report
        return [model.key for model in report.models if model.reason is not Reason.OK] if report else []

    def _problem_files(self) -> list[str]:
        """Return the files that the last check found missing or damaged."""
        report = self._registry.report
        if report is None:
            return []
        return [problem.file for problem in all_problems(report)]


def _call_in_loop(
    loop: asyncio.AbstractEventLoop,
    record_death: Callable[[ServedModel, _LoadAttempt, str], Coroutine[None, None, None]],
    served: ServedModel,
    attempt: _LoadAttempt,
    reason: str,
) -> None:
    """Record the death of a model in the event loop, unless the loop is closed."""
    if not loop.is_closed():
        asyncio.run_coroutine_threadsafe(record_death(served, attempt, reason), loop)


def _cache_unusable(problem: ModelProblem | None, models: list[str] | None = None) -> CacheUnusable:
    prefix = f"incomplete models: {', '.join(models)}: " if models else ""
    cause = problem or ModelProblem(Reason.INTERNAL, "the cache cannot be used", "report this as a bug")
    return CacheUnusable(prefix + cause.detail, cause.remedy, reason=cause.reason)
