"""`qda-worker serve`: one run of the worker, from options to exit code.

`serve` reads the catalog, configures the log, sets the offline variables in this process and runs a `Worker` on an
asyncio event loop. `Worker.run` binds and starts all servers first (`server.ports`), then starts these tasks and waits
for the first two:

- the cache watch (`registry.cache_watch`): fills the cache if `--fetch` is set, checks it, loads the models, and keeps
  watching both;
- the stop signal (`server.lifecycle`);
- the watchdog of the models (`registry.watchdog`);
- the record of this run, in a thread of its own (`server.run_recorder`);
- the checks of the files of certificates (`server.tls`) and tokens (`access.policy`).

The event loop runs all calls and is the only writer of the registry. All models share two tokenizer pools, for short
texts and for long ones; each model has a queue with a compute thread of its own; metrics are served by threads of their
own. The sizes of the pools follow the number of compute threads (`qda_worker.cpu`). Heavy packages (torch, spaCy) are
imported by the loading threads, after the servers listen.

On a host (`--cache host`) an invalid catalog, an incomplete cache or a model that does not load ends the program,
because its user is present and no other program will repair it. Elsewhere the servers keep running, not ready, and
report the reason through health, `GetCacheStatus`, metrics and the log.
"""

import asyncio
import functools
import gc
import logging
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from model_cache.catalog.catalog import Model
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.check.deep_check_record import read_deep_check
from model_cache.check.types import CheckReport
from model_cache.cli.options import LogLevel, find_places, prepare_command
from model_cache.errors import ModelCacheError
from model_cache.layout import model_path
from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.warm_status import WarmAdvice, advise_on_missing
from qda_worker.access.policy import AccessPolicy
from qda_worker.heap import return_free_memory_regularly
from qda_worker.models.form_lookup import find_form, form_folders
from qda_worker.observability.cache_metrics import WarmMetrics
from qda_worker.observability.call_record import CallListener
from qda_worker.observability.logs import CallLog, Log, configure_logging, log_cpu_budget
from qda_worker.observability.metrics import Metrics, MetricsServer, serve_metrics
from qda_worker.observability.result_cache_metrics import ResultCacheMetrics
from qda_worker.observability.tracing import open_tracing
from qda_worker.offline import OFFLINE
from qda_worker.registry.cache_watch import CacheWatch, CacheWatchDeps
from qda_worker.registry.engine import Engine, start_engine
from qda_worker.registry.readiness import current_activity, unready_reason
from qda_worker.registry.registry import ModelProblem, ModelRegistry
from qda_worker.registry.watchdog import ModelWatchdog
from qda_worker.scheduling.result_cache import ResultCache
from qda_worker.serve_options import Readiness
from qda_worker.server.catalog import catalog_file_digest, create_registry, create_remedies
from qda_worker.server.grpc_server import create_interceptors
from qda_worker.server.health import LIVENESS, Health
from qda_worker.server.lifecycle import (
    StopSignals,
    drain,
    exit_if_busy,
    join_loading_threads,
)
from qda_worker.server.ports import Ports
from qda_worker.server.run_recorder import RunRecorder
from qda_worker.server.tls import RotatingIdentity
from qda_worker.server.warm_process import WarmerFailed, run_warmer
from qda_worker.services import SERVICES, serving_status
from qda_worker.settings import ServeSettings

# Seconds to export the last traces.
TRACE_FLUSH_SECONDS: Final = 3.0
# Seconds to wait at the end for a batch that is still computed.
ENGINE_CLOSE_SECONDS: Final = 1.0
# Threads of asyncio's executor beyond the number of compute threads, as Python has them: most wait for files.
_SPARE_THREADS: Final = 4

_LOG_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


def serve(
    settings: ServeSettings,
    environ: Mapping[str, str],
    process_environ: MutableMapping[str, str] = os.environ,
) -> int:
    """Serve until a signal and return the exit code.

    Args:
        settings: the options of `serve`.
        environ: the environment that this program was started with. The warmer runs with it.
        process_environ: the environment of this process, in which the offline variables are set.

    Raises:
        ModelCacheError: catalog, cache or options cannot be served.
    """
    original_environ = dict(environ)
    log = configure_logging(_LOG_LEVELS[settings.shared.log_level])
    places = find_places(settings.shared.cache, environ)
    registry, lock = create_registry(settings, log)
    process_environ.update(OFFLINE)
    try:
        code = asyncio.run(Worker(settings, original_environ, places, registry, log, lock).run())
    except ModelCacheError:
        join_loading_threads()
        raise
    return exit_if_busy(code)


class Worker:
    """Owns what one run needs (servers, threads, engines, exporters) and closes it in order."""

    def __init__(
        self,
        settings: ServeSettings,
        original_environ: Mapping[str, str],
        places: Places,
        registry: ModelRegistry,
        log: Log,
        lock: Lock | None = None,
    ) -> None:
        """Create metrics, traces, TLS identity and the tokenizer pool; nothing listens yet.

        Args:
            settings: the options of `serve`.
            original_environ: the environment that the program was started with, for the warmer and for traces.
            places: where the cache is.
            registry: the models to serve.
            log: the log of this process.
            lock: of the catalog; the records of the cache are compared with it.

        Raises:
            UsageError: the TLS files, the tokens or the variables of OpenTelemetry are wrong.
        """
        self._settings = settings
        self._original_environ = original_environ
        self._places = places
        self._registry = registry
        self._log = log
        self._lock = lock
        registry.remedies = create_remedies(settings, original_environ)
        self._metrics = Metrics(registry, settings.cpu, catalog_file_digest(settings.shared.catalog))
        self._result_cache = None if settings.result_cache is None else ResultCache(settings.result_cache)
        if self._result_cache is not None:
            self._metrics.registry.register(ResultCacheMetrics(self._result_cache))
        self._tracing = open_tracing(original_environ)
        self._identity = RotatingIdentity(settings.tls, log) if settings.tls else None
        self._recorder = RunRecorder.from_environment(original_environ, lambda: current_activity(registry))
        self._registry.kill = kill = self._recorder.kill
        self._health = Health(
            SERVICES,
            startup_notice=str(kill) if kill is not None and self._recorder.follows_kill else "",
            unready_reason=lambda: unready_reason(registry),
        )
        self._access = AccessPolicy(settings.access, log, max_calls=settings.max_calls)
        # Tracing comes first: it sets the trace id that the log prints.
        listeners: list[CallListener] = [*filter(None, [self._tracing]), self._metrics.calls, CallLog(log)]
        interceptors = create_interceptors(self._health, self._access, listeners=listeners, log=log)
        self._ports = Ports(registry, self._health, settings, interceptors, self._identity, log)
        self._started = datetime.now(UTC)
        threads = settings.cpu.threads
        self._tokenizers = ThreadPoolExecutor(threads, thread_name_prefix="tokenize")
        # Fewer, so that they leave a processor to the others where there are several.
        self._long_tokenizers = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="tokenize-long")
        self._was_ready = self._was_ever_ready = False

    async def run(self) -> int:
        """Serve until a signal and return the exit code.

        Raises:
            ModelCacheError: an address cannot be bound, or on a host the cache cannot be served.
        """
        settings = self._settings
        log_cpu_budget(self._log, settings.cpu)
        # Of `asyncio.to_thread`. Python's default follows the cores of the node.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(settings.cpu.threads + _SPARE_THREADS, thread_name_prefix="asyncio")
        )
        signals = StopSignals(self._log)
        signals.install()
        metrics_server = self._start_metrics_server()
        servers = await self._ports.start(before_serving=self._update_health)
        self._recorder.start()
        if self._recorder.follows_kill:
            self._log.error("worker.was_killed", detail=str(self._registry.kill))
        watch = asyncio.create_task(self._watch_cache())
        stop = asyncio.create_task(signals.requested.wait())
        watchdog = asyncio.create_task(self._watch_models())
        heap = asyncio.create_task(return_free_memory_regularly())
        files = [asyncio.create_task(each.watch()) for each in (self._identity, self._access) if each]
        await asyncio.wait([watch, stop], return_when=asyncio.FIRST_COMPLETED)
        self._recorder.stopping()
        failure = watch.exception() if watch.done() else None
        # A worker that was never ready is in no endpoints: no load balancer has to notice that it stops.
        delay = settings.drain_delay if self._was_ever_ready and not failure else 0.0
        await drain(
            self._health,
            servers,
            self._registry.draining,
            start_successor=self._ports.start_successor,
            delay=delay,
            grace=settings.shutdown_grace,
            log=self._log,
        )
        for task in (watch, stop, watchdog, heap, *files):
            task.cancel()
            with suppress(asyncio.CancelledError, ModelCacheError):
                await task
        if metrics_server is not None:
            metrics_server.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close, TRACE_FLUSH_SECONDS)
        await self._close_engines()
        self._recorder.close()
        if failure is not None:
            raise failure
        return Reason.OK.exit_code

    def _start_metrics_server(self) -> MetricsServer | None:
        if self._settings.metrics_listen is None:
            return None
        if self._identity is not None:
            self._metrics.add_certificate(self._identity.expires)
        self._metrics.registry.register(WarmMetrics(self._places, time.time))
        server = serve_metrics(self._metrics.registry, self._settings.metrics_listen)
        address = self._settings.metrics_listen.at(server.port)
        self._log.info("metrics.listening", address=str(address), port=server.port)
        return server

    async def _watch_cache(self) -> None:
        """Fill the cache if `--fetch` is set, then watch it until cancelled. Raises ModelCacheError on a host only."""
        if not self._registry.models:
            await asyncio.Event().wait()  # an invalid catalog: there is nothing to watch
        deps = CacheWatchDeps(
            check=self._check_cache,
            load=self._load_model,
            paths={
                key: model_path(self._places, served.model) for key, served in self._registry.models.items()
            },
            forms=form_folders(self._places, [served.model for served in self._registry.models.values()]),
            on_change=self._update_health,
            is_waiting=lambda: (advice := self._warm_advice()) is not None and advice.is_waiting,
            deep_check=lambda: read_deep_check(self._places, self._registry.generation),
        )
        watch = CacheWatch(
            self._registry,
            deps,
            self._log,
            strict=self._settings.on_host,
            interval=self._settings.check_interval,
            reload_mended=self._settings.readiness is Readiness.VERIFIED,
        )
        self._registry.refresh = watch.refresh
        if self._settings.fetch:
            await self._fill_cache(watch)
        await watch.run()

    async def _watch_models(self) -> None:
        """Look for models that hang or stay away, until cancelled."""
        watchdog = ModelWatchdog(
            self._registry, self._update_health, self._log, hang_seconds=self._settings.hang_timeout
        )
        await watchdog.run()

    async def _fill_cache(self, watch: CacheWatch) -> None:
        await watch.check()
        if self._registry.cache_complete:
            return
        self._log.info("cache.fetching", cache=self._settings.shared.cache)
        try:
            await run_warmer(self._settings, self._original_environ)
        except WarmerFailed as error:
            if self._settings.on_host:
                raise
            self._log.error(
                "cache.not_fetched", reason=str(error.reason), detail=error.message, remedy=error.remedy
            )
            self._registry.fetch_problem = ModelProblem.from_error(error)

    def _check_cache(self) -> CheckReport:
        """Check the files of the served models. Blocks; the watch calls it in a thread."""
        shared, registry = self._settings.shared, self._registry
        return check(
            [served.model for served in registry.models.values()],
            self._places,
            whole_catalog=not shared.models,
            generation=registry.generation,
            remedies=registry.remedies._replace(advice=functools.cache(self._warm_advice)),
            lock=self._lock,
        )

    def _warm_advice(self) -> WarmAdvice | None:
        """Return what the last warm means for missing files. On a host no release starts a warmer."""
        started = None if self._settings.on_host else self._started
        return advise_on_missing(self._places, self._registry.generation, datetime.now(UTC), started)

    def _load_model(self, model: Model, on_failure: Callable[[str], None]) -> Engine:
        """Load one model. Blocks for seconds; the watch calls it in a daemon thread."""
        key, precision = model.key, model.serving.precision
        command = prepare_command(self._settings.shared, self._original_environ, key, precision)
        return start_engine(
            model, model_path(self._places, model), self._tokenizers, long_pool=self._long_tokenizers,
            device=self._settings.device, engine=self._settings.engine, threads=self._settings.cpu.threads,
            on_failure=on_failure, observer=self._metrics.queues.observer(key), turns=self._registry.turns,
            load_turns=self._registry.load_turns,
            form=find_form(model, self._places, self._lock, command), result_cache=self._result_cache,
        )  # fmt: skip

    async def _update_health(self) -> None:
        """Derive the health statuses from the registry, and log when readiness changes."""
        ready = self._registry.all_serving
        if self._settings.readiness is Readiness.COMPLETE:
            ready = ready and self._registry.cache_complete
        elif self._settings.readiness is Readiness.VERIFIED:
            ready = ready and not self._registry.damaged
        liveness = {LIVENESS: not self._registry.hung}
        await self._health.update(serving_status(self._registry, ready=ready) | liveness)
        if ready != self._was_ready:
            self._was_ready, self._was_ever_ready = ready, True
            # Objects of the imported libraries live until the end. Without this, each full garbage collection scans
            # them and stops every call for 0.4 s (measured).
            gc.freeze()
            self._log.info("server.ready" if ready else "server.not_ready")

    async def _close_engines(self) -> None:
        engines = [served.engine for served in self._registry.models.values() if served.engine is not None]
        await asyncio.gather(*(asyncio.to_thread(engine.close, ENGINE_CLOSE_SECONDS) for engine in engines))
        for pool in (self._tokenizers, self._long_tokenizers):
            pool.shutdown(wait=False, cancel_futures=True)
