"""`cache-warmer warm` and `cache-warmer repair`: make a `WarmRun` from the options, run it, and report how it ended.

The result is reported on stdout, and in a cluster also as Events and as the termination message, however the run ends:
success, failure, SIGINT or SIGTERM. `cli.program` raises `Terminated` in the main thread on SIGTERM, which ends the run
like any other exception; fetched bytes are kept.

With `--end-with-stdin` the warmer also ends when its parent process dies, even by SIGKILL. The parent holds the other
end of the warmer's standard input and never writes to it; the system closes it when the parent dies. A daemon thread
waits for that end of file. This works on every system; the parent-death signal of Linux (PR_SET_PDEATHSIG) would follow
the parent's thread instead of its process.
"""

import _thread
import dataclasses
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, TextIO

from cache_warmer.commands.command import Invocation
from cache_warmer.commands.form_notes import write_form_notes
from cache_warmer.commands.reporting import event_recorder, report_to_cluster, utc_now
from cache_warmer.disk.atomic import require_inside
from cache_warmer.errors import Interrupted
from cache_warmer.kubernetes.events import WARMING, EventRecorder
from cache_warmer.kubernetes.pod import holder_identity, require_token
from cache_warmer.lease.select import select_lease
from cache_warmer.reference import reference_writer
from cache_warmer.reports.deep_check_file import DeepCheckFile
from cache_warmer.reports.progress import ProgressCounter, show_progress
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.reports.warm_report import RunStats, WarmReport, to_json, to_lines
from cache_warmer.settings import Settings
from cache_warmer.transfer.pool import Stop
from cache_warmer.warm import Reports, Selection, WarmRun
from model_cache.check.progress import progress_printer
from model_cache.check.types import Tier
from model_cache.cli.options import LogLevel, OutputFormat
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import Terminated, best_effort
from model_cache.errors import ModelCacheError, UsageError
from model_cache.explanations import error_lines, with_help
from model_cache.json_values import to_json_text
from model_cache.places import HOST, Places
from model_cache.reasons import EXIT_TERMINATED, Reason
from model_cache.warm_status import WarmStatus, read_status, status_path

_LOG: Final = logging.getLogger(__name__)
# Seconds between SIGTERM and a forced exit after the parent died. A warmer may be killed at any instant.
PARENT_EXIT_GRACE_SECONDS: Final = 10.0


def add_warm_arguments(parser: OptionParser) -> None:
    """Add --end-with-stdin to a parser."""
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="terminate when standard input ends, so that the warmer ends with the process that started it "
        "(default: do not read standard input)",
    )


def run_warm(invocation: Invocation) -> int:
    """Warm the cache and return the exit code; see `warm_cache`."""
    if invocation.arguments.end_with_stdin:
        terminate_with_parent(sys.stdin.fileno())
    return warm_cache(invocation.settings(), invocation.environ, invocation.out, invocation.err)


def run_repair(invocation: Invocation) -> int:
    """Repair the cache and return the exit code; see `warm_cache`."""
    return warm_cache(
        invocation.settings(), invocation.environ, invocation.out, invocation.err, tier=Tier.DEEP
    )


def warm_cache(
    settings: Settings,
    environ: MutableMapping[str, str],
    out: TextIO,
    err: TextIO,
    events: EventRecorder | None = None,
    tier: Tier = Tier.FAST,
    start: str | None = WARMING,
) -> int:
    """Warm or repair the cache, report how that ended, and return the exit code.

    A failure that a user can solve is printed here and not raised, because it is reported together with what was done.

    Args:
        settings: the settings of the command.
        environ: the environment.
        out: where the report goes.
        err: where progress and errors go; a failure to write there is ignored.
        events: records Events; None: on the objects that the environment names.
        tier: `FAST` fetches what is missing; `DEEP` hashes every file first and also replaces what is damaged.
        start: Reason of the Event about the start; None: no such Event.
    """
    recorder, err = events or event_recorder(environ), best_effort(err)
    stats = RunStats(recorder.record_verified)

    def run() -> None:
        with (
            report_to_cluster(recorder, settings.termination_log, stats.report, start),
            _failure_recorded(settings, environ, stats, recorder),
        ):
            make_run(settings, environ, err, tier, stats, recorder).run()

    error, code = run_to_exit_code(run)
    print_report(stats.report(error), settings.options.format, out, error, err)
    if error is None:
        write_form_notes(settings, environ, tier, err)
    return code


def run_to_exit_code(run: Callable[[], None]) -> tuple[ModelCacheError | None, int]:
    """Run a function and return the failure that a user can solve, if there is one, and the exit code."""
    try:
        run()
    except ModelCacheError as failure:
        return failure, failure.reason.exit_code
    except (KeyboardInterrupt, Terminated) as signalled:
        error = Interrupted()
        is_terminated = isinstance(signalled, Terminated)
        return error, EXIT_TERMINATED if is_terminated else error.reason.exit_code
    return None, Reason.OK.exit_code


@contextmanager
def _failure_recorded(
    settings: Settings, environ: MutableMapping[str, str], stats: RunStats, events: EventRecorder
) -> Iterator[None]:
    """Write a failure to the status file of a cache of our own, if it came before the run maintained that file.

    Wrong options are no failure of the cache.
    """
    former = _last_status(settings, environ)
    try:
        yield
    except UsageError:
        raise
    except ModelCacheError as error:
        with suppress(ModelCacheError, OSError):
            places = settings.find_places(environ)
            own = places.own.path
            require_inside(own, places.boundary_of(own))
            is_recorded = read_status(places) != former
            if places.label != HOST and own.parent.is_dir() and not is_recorded:
                generation = stats.report(error).generation
                status = _status_file(places, generation, environ, ProgressCounter(), events)
                status.record_end(error.reason, error.message, former)
        raise


def _last_status(settings: Settings, environ: MutableMapping[str, str]) -> WarmStatus | None:
    with suppress(ModelCacheError, OSError):
        return read_status(settings.find_places(environ))
    return None


def _status_file(
    places: Places,
    generation: str,
    environ: MutableMapping[str, str],
    counter: ProgressCounter,
    events: EventRecorder,
) -> StatusFile:
    holder = holder_identity(environ)
    return StatusFile(status_path(places), generation, holder, counter, utc_now, events.record_interruption)


def make_run(
    settings: Settings,
    environ: MutableMapping[str, str],
    err: TextIO,
    tier: Tier,
    stats: RunStats,
    events: EventRecorder,
) -> WarmRun:
    """Return the run that the settings describe; makes no request and writes nothing."""
    catalog, lock = settings.load_catalog()
    selection = Selection(catalog, lock, settings.options.models)
    stats.select(selection.generation, selection.models)
    places = settings.find_places(environ)
    require_token(environ)
    stop = Stop()  # a retry must not wait when the run stops
    retry = dataclasses.replace(settings.retry, sleep=stop.sleep)
    return WarmRun(
        selection=selection,
        tier=tier,
        places=places,
        sources=settings.make_sources(places, lock, environ, retry),
        lease=select_lease(places, settings.wait, environ, stop, _LOG.info),
        reference=reference_writer(settings.reference, settings.options.catalog, places, environ, utc_now),
        reports=_make_reports(settings, environ, err, places, selection.generation, stats, events),
        stop=stop,
    )


def _make_reports(
    settings: Settings,
    environ: MutableMapping[str, str],
    err: TextIO,
    places: Places,
    generation: str,
    stats: RunStats,
    events: EventRecorder,
) -> Reports:
    counter = ProgressCounter()
    status = _status_file(places, generation, environ, counter, events)
    deep_check = DeepCheckFile(holder_identity(environ), utc_now, events.record_damage)
    if settings.options.log_level not in (LogLevel.DEBUG, LogLevel.INFO):  # --quiet
        return Reports(stats, status, counter, deep_check)
    return Reports(
        stats,
        status,
        counter,
        deep_check,
        show_transfers=partial(show_progress, out=err),
        show_check=progress_printer(err, "cache-warmer"),
    )


def print_report(
    report: WarmReport, form: OutputFormat, out: TextIO, error: ModelCacheError | None, err: TextIO
) -> None:
    """Print the report and the error. A closed stdout is ignored: the exit code states the result."""
    shown = best_effort(out)
    lines = [to_json_text(with_help(to_json(report)))] if form is OutputFormat.JSON else to_lines(report)
    shown.writelines(f"{line}\n" for line in lines)
    shown.flush()
    if error is not None:
        err.write(error_lines("cache-warmer", str(error), error.reason))


def terminate_with_parent(stdin: int) -> None:
    """End this process when the file descriptor `stdin` ends: by SIGTERM first, by force after a grace period."""
    threading.Thread(target=_wait_for_parent, args=(stdin,), name="parent-watch", daemon=True).start()


def _wait_for_parent(stdin: int) -> None:
    # Unbuffered: a thread that holds the lock of a buffered reader would abort the exit of the interpreter.
    while os.read(stdin, 4096):
        pass
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGTERM)
    else:  # there `os.kill` ends the process at once
        _thread.interrupt_main(signal.SIGTERM)
    threading.Event().wait(PARENT_EXIT_GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)
