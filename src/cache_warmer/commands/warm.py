"""`cache-warmer warm`: builds the run from settings and world, and reports how it ended, however it ended.

Ends a warmer with the program that started it, however that ends: `kill -9` lets nobody say goodbye.

The starter holds the other end of this program's standard input and never writes to it; the system closes it at the
starter's death. Works on every system, where a death signal is Linux's alone and follows the thread, not the process.
"""

import dataclasses
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Final, TextIO

from cache_warmer.commands.reporting import told
from cache_warmer.disk.preflight import write_probe
from cache_warmer.errors import Interrupted
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import EventRecorder, demand_token, holder_identity, own_objects
from cache_warmer.lease.select import lease_for
from cache_warmer.reference import referring
from cache_warmer.reports import progress
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.reports.warm_report import RunStats, WarmReport, to_json, to_lines
from cache_warmer.settings import Settings
from cache_warmer.transfer.pool import Stop
from cache_warmer.warm import WarmRun
from model_cache.catalog.catalog import Catalog, generation
from model_cache.check.progress import progress_to
from model_cache.check.types import Progress, Tier
from model_cache.cli.options import LogLevel, OutputFormat
from model_cache.cli.program import Terminated
from model_cache.errors import ModelCacheError
from model_cache.reasons import EXIT_TERMINATED, Reason
from model_cache.warm_status import status_path

_LOG: Final = logging.getLogger(__name__)


def warm_command(
    settings: Settings,
    environ: MutableMapping[str, str],
    out: TextIO,
    err: TextIO,
    announcer: EventRecorder | None = None,
    tier: Tier = Tier.FAST,
) -> int:
    """Warm, print the report, leave the termination message, tell the cluster; return the exit code.

    With `tier` `DEEP` every file is read first, and what is wrong is fetched anew: `cache-warmer repair`.
    Failures that a user can mend are reported here, not raised: the report of what was done belongs to them.
    """
    announcer = announcer or EventRecorder(own_objects(environ), client.connect, lambda: datetime.now(UTC))
    run = _Run(settings, environ, err, tier, announcer.verified)
    error: ModelCacheError | None = None
    code = Reason.OK.exit_code
    try:
        with told(announcer, settings.termination_log, run.report):
            run.warm()
    except ModelCacheError as failure:
        error, code = failure, failure.reason.exit_code
    except (KeyboardInterrupt, Terminated) as signalled:
        error = Interrupted()
        code = EXIT_TERMINATED if isinstance(signalled, Terminated) else error.reason.exit_code
    report = run.report(error)
    if settings.options.format is OutputFormat.JSON:
        out.write(json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n")
    else:
        out.writelines(f"{line}\n" for line in to_lines(report))
    if error is not None:
        err.write(f"cache-warmer: {error}\n")
    return code


class _Run:
    """One run, from reading the catalog on."""

    def __init__(
        self,
        settings: Settings,
        environ: MutableMapping[str, str],
        err: TextIO,
        tier: Tier,
        told: Callable[[str, int, int], None],
    ) -> None:
        self._settings, self._environ, self._err, self._tier = settings, environ, err, tier
        self._told = told
        self._start, self._seconds = time.monotonic(), 0.0
        self._catalog: Catalog | None = None
        self._tally = RunStats(())

    def warm(self) -> None:
        """Warm. Raises `ModelCacheError`."""
        settings = self._settings
        self._catalog, lock = settings.catalog()
        places = settings.places(self._environ)
        keys = settings.options.models
        self._tally = RunStats(self._catalog.select(keys) if keys else self._catalog.models, self._told)
        demand_token(self._environ)
        stop = Stop()
        retry = dataclasses.replace(settings.retry, sleep=stop.sleep)
        counter = progress.Counter()
        WarmRun(
            catalog=self._catalog,
            lock=lock,
            keys=keys,
            places=places,
            sources=settings.sources(places, lock, self._environ, retry),
            lease=lease_for(places, settings.wait, self._environ, stop, _LOG.info),
            referring=referring(
                settings.reference,
                settings.options.catalog,
                places,
                self._environ,
                lambda: datetime.now(UTC),
            ),
            status=StatusFile(
                status_path(places),
                generation(self._catalog.models),
                holder_identity(self._environ),
                counter,
                lambda: datetime.now(UTC),
            ),
            counter=counter,
            stop=stop,
            tally=self._tally,
            probe=write_probe,
            showing=self._showing(),
            tier=self._tier,
            reading=self._reading(),
        ).run()

    def report(self, error: ModelCacheError | None) -> WarmReport:
        """Return what was done until now; of all reports of a run the first says when it ended."""
        self._seconds = self._seconds or time.monotonic() - self._start
        reason = error.reason if error is not None else Reason.OK
        name = generation(self._catalog.models) if self._catalog is not None else ""
        return WarmReport(
            reason,
            name,
            self._seconds,
            self._tally.models(reason),
            error,
            self._tally.mended,
        )

    @property
    def _shows(self) -> bool:
        return self._settings.options.log_level in (LogLevel.DEBUG, LogLevel.INFO)

    def _reading(self) -> Progress | None:
        return progress_to(self._err, "cache-warmer") if self._shows else None

    def _showing(self) -> Callable[[progress.Counter], AbstractContextManager[None]] | None:
        if not self._shows:
            return None
        return partial(progress.shown, out=self._err)


# From the signal until the process is ended without more ado. A warmer may be killed at any instant: what
# it published stays, what it fetched is gone on from.
GRACE_SECONDS: Final = 10.0


def end_with_starter(stdin: int) -> None:
    """From now on the end of this file descriptor ends the process: as SIGTERM does, and soon after at once."""
    threading.Thread(target=_watch, args=(stdin,), name="starter", daemon=True).start()


def _watch(stdin: int) -> None:
    while os.read(stdin, 4096):  # unbuffered: a lock held in a read would abort the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)
