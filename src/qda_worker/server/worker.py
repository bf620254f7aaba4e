"""One run of the worker: servers that listen at once, the watch that brings the models in, and the end in order.

`qda-worker serve`: reads the catalog, puts the parts together, runs them until a signal.

What is heavy (torch, spaCy) is imported by the loading threads, after the server listens.
"""

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import grpc

from model_cache.catalog.catalog import Catalog, Model
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.files import Remedies
from model_cache.check.types import CheckReport
from model_cache.cli.options import LogLevel, find_places
from model_cache.errors import CatalogInvalid, ModelCacheError
from model_cache.layout import model_path
from model_cache.places import Places
from model_cache.reasons import Reason
from qda_worker.cpu import usable_cpus
from qda_worker.observability.cache_metrics import WarmMetrics
from qda_worker.observability.logs import CallLog, Log, open_log
from qda_worker.observability.metrics import Metrics, MetricsServer, serve_metrics
from qda_worker.observability.tracing import open_tracing
from qda_worker.offline import OFFLINE
from qda_worker.registry.cache_watch import CacheWatch, CacheWatchDeps
from qda_worker.registry.registry import Engine, ModelProblem, ModelRegistry, start_engine
from qda_worker.server.grpc_server import open_health_server, open_server
from qda_worker.server.health import Health
from qda_worker.server.lifecycle import StopSignals, drain, leave, tell_port, wait_for_loading
from qda_worker.server.tls import RotatingIdentity
from qda_worker.server.warm_process import FetchFailed, command_by_hand, fetch
from qda_worker.services import SERVICES, serving_status
from qda_worker.settings import Readiness, ServeSettings
from qda_worker.version import worker_version

# How long the last traces may take to leave.
TRACES_END_SECONDS: Final = 3.0


# How long a batch that nobody waits for any more may hold up the end.
END_SECONDS: Final = 1.0


class Worker:
    """Owns everything that a run needs, and lets go of it.

    started_with: the environment that the program was started with, for the warmer.
    """

    def __init__(
        self,
        settings: ServeSettings,
        started_with: Mapping[str, str],
        places: Places,
        fleet: ModelRegistry,
        log: Log,
    ) -> None:
        self._settings = settings
        self._started_with = started_with
        self._places = places
        self._fleet = fleet
        self._log = log
        self._metrics = Metrics(fleet)
        self._tracing = open_tracing(started_with)
        self._identity = RotatingIdentity(settings.tls, log) if settings.tls else None
        self._health = Health(SERVICES)
        self._cpus = usable_cpus()
        self._tokenizers = ThreadPoolExecutor(self._cpus, thread_name_prefix="tokenize")
        self._was_ready = self._was_ever_ready = False

    async def run(self) -> int:
        """Serve until a signal; the exit code. Raises ModelCacheError for what cannot be served."""
        settings = self._settings
        stop = StopSignals(self._log)
        stop.catch()
        metrics = self._open_metrics()
        servers = await self._open_servers()
        watch = asyncio.create_task(self._watch())
        asked = asyncio.create_task(stop.asked.wait())
        renewals = asyncio.create_task(self._identity.watch()) if self._identity else None
        await asyncio.wait([watch, asked], return_when=asyncio.FIRST_COMPLETED)
        failure = watch.exception() if watch.done() else None
        # A worker that was never ready is in no endpoints: nobody has to be told, and nothing to be waited for.
        delay = settings.drain_delay if self._was_ever_ready and not failure else 0.0
        await drain(
            self._health,
            servers,
            self._fleet.draining,
            delay=delay,
            grace=settings.shutdown_grace,
            log=self._log,
        )
        for task in filter(None, (watch, asked, renewals)):
            task.cancel()
            with suppress(asyncio.CancelledError, ModelCacheError):
                await task
        if metrics is not None:
            metrics.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close, TRACES_END_SECONDS)
        await self._let_go()
        if failure is not None:
            raise failure
        return Reason.OK.exit_code

    def _open_metrics(self) -> MetricsServer | None:
        if self._settings.metrics_listen is None:
            return None
        if self._identity is not None:
            self._metrics.add_certificate(self._identity.expires)
        self._metrics.registry.register(WarmMetrics(self._places, time.time))
        server = serve_metrics(self._metrics.registry, self._settings.metrics_listen)
        address = self._settings.metrics_listen.at(server.port)
        self._log.info("metrics.listening", address=str(address), port=server.port)
        return server

    async def _open_servers(self) -> list[grpc.aio.Server]:
        """Bind all ports, then listen on them. Raises UsageError."""
        settings = self._settings
        credentials = self._identity.credentials() if self._identity else None
        server, address = open_server(
            self._fleet,
            self._health,
            settings,
            credentials=credentials,
            # Traces first: they give the log its trace's id.
            listeners=[*filter(None, [self._tracing]), self._metrics.calls, CallLog(self._log)],
            log=self._log,
        )
        servers = [server]
        if settings.health_listen is not None:
            health_server, health_address = open_health_server(self._health, settings.health_listen)
            servers.append(health_server)
            self._log.info("health.listening", address=str(health_address), port=health_address.port)
        await self._show()
        for each in servers:
            await each.start()
        self._log.info(
            "server.listening",
            address=str(address),
            port=address.port,
            tls=self._tls_word,
            version=worker_version(),
            models=list(self._fleet.models),
            generation=self._fleet.generation,
            cpus=self._cpus,
        )
        tell_port(settings.port_file, address)
        return servers

    @property
    def _tls_word(self) -> str:
        if self._identity is None:
            return "off"
        return "mutual" if self._identity.current.client_ca else "on"

    async def _watch(self) -> None:
        """Fill the cache if told to, then watch it for ever. Raises ModelCacheError only on a host."""
        if not self._fleet.models:
            await asyncio.Event().wait()  # an invalid catalog: there is nothing to look at
        outside = CacheWatchDeps(
            check=self._look,
            load=self._load,
            paths={key: model_path(self._places, member.model) for key, member in self._fleet.models.items()},
            on_change=self._show,
        )
        watch = CacheWatch(
            self._fleet,
            outside,
            self._log,
            strict=self._settings.on_host,
            interval=self._settings.check_interval,
        )
        if self._settings.fetch:
            await self._fetch(watch)
        await watch.run()

    async def _fetch(self, watch: CacheWatch) -> None:
        await watch.check()
        if self._fleet.cache_complete:
            return
        self._log.info("cache.fetching", cache=self._settings.shared.cache)
        try:
            await fetch(self._settings, self._started_with)
        except FetchFailed as error:
            if self._settings.on_host:
                raise
            self._log.error(
                "cache.not_fetched", reason=str(error.reason), detail=error.message, remedy=error.remedy
            )
            self._fleet.fetch_problem = ModelProblem.from_error(error)

    def _look(self) -> CheckReport:
        shared, fleet = self._settings.shared, self._fleet
        return check(
            [member.model for member in fleet.models.values()],
            self._places,
            whole_catalog=not shared.models,
            generation=fleet.generation,
            remedies=Remedies(
                command_by_hand(self._settings, self._started_with),
                command_by_hand(self._settings, self._started_with, "repair"),
            ),
        )

    def _load(self, model: Model, on_failure: Callable[[str], None]) -> Engine:
        return start_engine(
            model, model_path(self._places, model), self._tokenizers,
            device=self._settings.device, threads=self._cpus, on_failure=on_failure,
            observer=self._metrics.queues.of(model.key),
        )  # fmt: skip

    async def _show(self) -> None:
        """Bring health up to date with the fleet."""
        ready = self._fleet.all_serving
        if self._settings.readiness is Readiness.COMPLETE:
            ready = ready and self._fleet.cache_complete
        await self._health.show(serving_status(self._fleet, ready=ready))
        if ready != self._was_ready:
            self._was_ready, self._was_ever_ready = ready, True
            # What the libraries brought in stays for ever: left out of the collector's full runs, which would stop
            # every call for 0.4 s (measured).
            gc.freeze()
            self._log.info("server.ready" if ready else "server.not_ready")

    async def _let_go(self) -> None:
        engines = [member.engine for member in self._fleet.models.values() if member.engine is not None]
        await asyncio.gather(*(asyncio.to_thread(engine.close, END_SECONDS) for engine in engines))
        self._tokenizers.shutdown(wait=False, cancel_futures=True)


_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


def serve(
    settings: ServeSettings, environ: Mapping[str, str], own_environ: MutableMapping[str, str] = os.environ
) -> int:
    """Serve until a signal; the exit code. Raises ModelCacheError for what cannot be served.

    environ: as this program was started, also for the warmer. own_environ: this process's, which goes offline.
    """
    started_with = dict(environ)
    log = open_log(_LEVELS[settings.shared.log_level])
    places = find_places(settings.shared.cache, environ)
    fleet = _fleet(settings, log)
    own_environ.update(OFFLINE)
    try:
        code = asyncio.run(Worker(settings, started_with, places, fleet, log).run())
    except ModelCacheError:
        wait_for_loading()
        raise
    return leave(code)


def _fleet(settings: ServeSettings, log: Log) -> ModelRegistry:
    """The models to serve. An invalid catalog is told by a server that serves nothing, so that exec goes on working;
    on a host it ends the program. Raises ModelCacheError.
    """
    try:
        catalog = load_catalog(settings.shared.catalog)
    except CatalogInvalid as error:
        if settings.on_host:
            raise
        log.error("catalog.invalid", detail=error.message, remedy=error.remedy)  # noqa: TRY400  # a user's mistake
        return ModelRegistry.without_catalog(ModelProblem.from_error(error))
    return ModelRegistry(catalog, _served(catalog, settings))


def _served(catalog: Catalog, settings: ServeSettings) -> tuple[Model, ...]:
    return catalog.select(settings.shared.models) if settings.shared.models else catalog.models
