"""`cache-warmer verify`: hash every file of the cache, and report what was found in Events, a record and the exit code.

`cache-check --deep` tells its caller alone. This command also writes the result to the volume, where the workers export
it as metrics, and to Events. It is what the chart's CronJob runs. Without `--repair` it takes no lease and changes
nothing else; with `--repair` it is the run of `cache-warmer repair`, whose requests and writes begin only if a file is
bad. Workers keep serving meanwhile: files are replaced by rename.

A check that finds nothing but missing files while a warmer fetches them ends with LEASE_HELD, which Kubernetes retries.
"""

import logging
from collections.abc import MutableMapping
from typing import Final, TextIO

from cache_warmer.commands.command import Invocation
from cache_warmer.commands.form_notes import write_form_notes
from cache_warmer.commands.reporting import event_recorder, report_to_cluster, utc_now
from cache_warmer.commands.warm import print_report, run_to_exit_code, warm_cache
from cache_warmer.errors import LeaseHeld
from cache_warmer.kubernetes.events import EventRecorder, damage_error
from cache_warmer.kubernetes.pod import holder_identity
from cache_warmer.records import read_records
from cache_warmer.reports.deep_check_file import DeepCheckFile
from cache_warmer.reports.warm_report import RunStats
from cache_warmer.settings import Settings
from cache_warmer.warm import Selection
from model_cache.check.check import check
from model_cache.check.files import Remedies
from model_cache.check.progress import progress_printer
from model_cache.check.types import CheckReport, Tier, all_problems
from model_cache.cli.options import LogLevel, warmer_command
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import best_effort
from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.warm_status import describe_warm, read_status

_LOG: Final = logging.getLogger(__name__)
# Bad files that the log names.
_MAX_LOGGED: Final = 20


def add_verify_arguments(parser: OptionParser) -> None:
    """Add --repair to a parser."""
    parser.add_argument(
        "--repair",
        action="store_true",
        help="fetch damaged and missing files again, as `cache-warmer repair` does (default: only report them)",
    )


def run_verify(invocation: Invocation) -> int:
    """Verify the cache and return the exit code."""
    settings = invocation.settings()
    if invocation.arguments.repair:
        return warm_cache(
            settings, invocation.environ, invocation.out, invocation.err, tier=Tier.DEEP, start=None
        )
    return verify_cache(settings, invocation.environ, invocation.out, invocation.err)


def verify_cache(
    settings: Settings,
    environ: MutableMapping[str, str],
    out: TextIO,
    err: TextIO,
    events: EventRecorder | None = None,
) -> int:
    """Check every hash, report the result, and return the exit code.

    Args:
        settings: the settings of the command.
        environ: the environment.
        out: where the report goes.
        err: where progress and errors go; a failure to write there is ignored.
        events: records Events; None: on the objects that the environment names.
    """
    events, err, stats = events or event_recorder(environ), best_effort(err), RunStats()

    def run() -> None:
        with report_to_cluster(events, settings.termination_log, stats.report, start=None):
            _verify(settings, environ, err, stats)

    error, code = run_to_exit_code(run)
    print_report(stats.report(error), settings.options.format, out, error, err)
    write_form_notes(settings, environ, Tier.DEEP, err)
    return code


def _verify(settings: Settings, environ: MutableMapping[str, str], err: TextIO, stats: RunStats) -> None:
    """Check the cache, and record what was found.

    Raises:
        ModelCacheError: a file is bad.
    """
    catalog, lock = settings.load_catalog()
    selection, places = Selection(catalog, lock, settings.options.models), settings.find_places(environ)
    stats.select(selection.generation, selection.models)
    shows_progress = settings.options.log_level in (LogLevel.DEBUG, LogLevel.INFO)
    options = settings.options
    report = check(
        selection.models,
        places,
        Tier.DEEP,
        whole_catalog=selection.is_whole_catalog,
        generation=selection.generation,
        progress=progress_printer(err, "cache-warmer") if shows_progress else None,
        remedies=Remedies(warmer_command(options, environ), warmer_command(options, environ, verb="repair")),
        lock=lock,
    )
    _require_no_running_warm(report, places)
    if selection.is_whole_catalog:
        DeepCheckFile(holder_identity(environ), utc_now).record_found(report)
    records = read_records(selection.models, places, lock)
    for model in report.models:
        if model.reason is Reason.OK and model.key in records:
            stats.verified(model.key, records[model.key].files, None)
    problems = all_problems(report)
    for problem in problems[:_MAX_LOGGED]:
        _LOG.warning("%s: %s: %s", problem.reason, problem.file, problem.detail)
    if problems:
        raise damage_error(report)
    stats.repaired(())


def _require_no_running_warm(report: CheckReport, places: Places) -> None:
    """Raise if files are only missing and a warmer fetches files at the moment.

    Raises:
        LeaseHeld: the check is to be repeated when the warmer has ended.
    """
    status, now = read_status(places), utc_now()
    if report.reason is Reason.CACHE_INCOMPLETE and status is not None and status.is_running(now):
        raise LeaseHeld(
            f"files are missing, and {describe_warm(places, report.generation, now)}",
            "wait until it has ended, then check again",
        )
