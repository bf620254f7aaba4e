"""`qda-worker serve`: reads the catalog, puts the parts together, runs them until a signal.

What is heavy (torch, spaCy) is imported by the loading threads, after the server listens.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, MutableMapping
from typing import Final

from model_cache.catalogs.catalog import Catalog, Model
from model_cache.catalogs.catalog_file import load_catalog
from model_cache.errors import CatalogInvalid, ModelCacheError
from model_cache.programs.options import LogLevel, find_places
from qda_worker.fleet.fleet import Fleet, Trouble
from qda_worker.observability.logs import Log, open_log
from qda_worker.offline import OFFLINE
from qda_worker.running.lifecycle import leave, wait_for_loading
from qda_worker.running.worker import Worker
from qda_worker.settings import ServeSettings

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


def _fleet(settings: ServeSettings, log: Log) -> Fleet:
    """The models to serve. An invalid catalog is told by a server that serves nothing, so that exec goes on working;
    on a host it ends the program. Raises ModelCacheError.
    """
    try:
        catalog = load_catalog(settings.shared.catalog)
    except CatalogInvalid as error:
        if settings.on_host:
            raise
        log.error("catalog.invalid", detail=error.message, remedy=error.remedy)  # noqa: TRY400  # a user's mistake
        return Fleet.without_catalog(Trouble.of(error))
    return Fleet(catalog, _served(catalog, settings))


def _served(catalog: Catalog, settings: ServeSettings) -> tuple[Model, ...]:
    return catalog.select(settings.shared.models) if settings.shared.models else catalog.models
