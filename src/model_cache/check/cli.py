"""The program `cache-check`: check whether the cache holds what the catalog needs. It only reads.

It runs in probes and by `kubectl exec`, and must end within 100 ms. So nothing is imported at the top of this module
that a fast check of a complete cache does not use; the deep check, the load check and their output are imported where
they are needed. A test lists the modules that must not be loaded.
"""

import functools
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, TextIO

from model_cache.catalog.catalog import Model, Precision, generation
from model_cache.catalog.lock import Lock, load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.deep_check_record import describe_deep_check, read_deep_check
from model_cache.check.files import Remedies
from model_cache.check.notes import collect_notes
from model_cache.check.report import paths_table, report_to_json, report_to_table, summary_line
from model_cache.check.types import CheckReport, ProgressCallback, Tier, worst_reason
from model_cache.cli.options import (
    IMPORT_COMMAND,
    RUN_DIRECTORY,
    LogLevel,
    Option,
    OutputFormat,
    SharedOptions,
    add_shared_options,
    find_places,
    positive_duration,
    prepare_command,
    read_shared_options,
    warmer_command,
)
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import best_effort, run
from model_cache.explanations import error_lines, with_help
from model_cache.json_values import to_json_text
from model_cache.layout import has_forms
from model_cache.places import Places
from model_cache.reasons import Reason

if TYPE_CHECKING:
    from model_cache.check.prepared_forms import FormReport
    from model_cache.warm_status import WarmAdvice

PROGRAM: Final = "cache-check"
LOAD_TIMEOUT: Final = Option(
    "--load-timeout",
    "QDA_LOAD_TIMEOUT",
    positive_duration,
    600.0,
    "TIME",
    "time limit of --load for each model, in seconds or as 10m",
    "10m",
)
_EPILOG: Final = """exit codes: 0 complete; 2 wrong options; 3 catalog invalid; 10 something is missing; 11 something
is corrupt; 12 a model does not load or its answers differ; 31 something cannot be read. Corrupt takes precedence over
missing."""


def main() -> NoReturn:
    """Run `cache-check` with this process's arguments and exit."""
    run(cache_check, name=PROGRAM)


def cache_check(
    argv: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Check the cache, print the report and return the exit code.

    Raises:
        ModelCacheError: the options, the catalog or the lock are wrong.
    """
    out, err = stdout or sys.stdout, best_effort(stderr or sys.stderr)
    arguments = _parser().parse_args(argv)
    options = read_shared_options(arguments, environ)
    selection = _select_models(options)
    report = _check(options, selection, environ, Tier.DEEP if arguments.deep else Tier.FAST, err)
    if arguments.load or arguments.record is not None:
        from model_cache.check.load import run_load_check  # here: other tiers do not need it

        timeout = LOAD_TIMEOUT.value(arguments, environ)
        report = run_load_check(report, selection.models, options, environ, timeout, arguments.record, err)
    if arguments.prepared:
        report = _with_required_forms(report)
    deep_check = read_deep_check(report.places, selection.generation)
    if options.format is OutputFormat.JSON:
        print(to_json_text(with_help(report_to_json(report) | {"deep_check": deep_check})), file=out)
    elif arguments.paths:
        print(paths_table(report), file=out)
        if report.reason is not Reason.OK:
            err.write(error_lines(PROGRAM, summary_line(report), report.reason))
    else:
        print(
            report_to_table(report, describe_deep_check(deep_check, report.places) if deep_check else ""),
            file=out,
        )
    return report.reason.exit_code


class _Selection(NamedTuple):
    """The models to check, the generation of the whole catalog, and its lock."""

    models: tuple[Model, ...]
    generation: str
    lock: Lock | None


def _select_models(options: SharedOptions) -> _Selection:
    catalog = load_catalog(options.catalog)
    models = catalog.select(options.models) if options.models else catalog.models
    return _Selection(models, generation(catalog.models), load_lock(options.catalog))


def _check(
    options: SharedOptions, selection: _Selection, environ: Mapping[str, str], tier: Tier, stderr: TextIO
) -> CheckReport:
    """Run the fast or deep check, and add notes and unlisted paths to its report."""
    models = selection.models
    shows_progress = tier is Tier.DEEP and options.log_level in (LogLevel.DEBUG, LogLevel.INFO)
    places = find_places(options.cache, environ)
    report = check(
        models,
        places,
        tier,
        whole_catalog=not options.models,
        generation=selection.generation,
        progress=_progress(stderr) if shows_progress else None,
        remedies=Remedies(
            warmer_command(options, environ),
            warmer_command(options, environ, verb="repair"),
            environ.get(IMPORT_COMMAND, ""),
            functools.cache(lambda: _warm_advice(places, selection.generation, environ)),
        ),
        lock=selection.lock,
    )
    notes = collect_notes(models, places, environ)
    if report.reason is not Reason.OK:
        notes += _warm_notes(places, selection.generation)
    if "KUBERNETES_SERVICE_HOST" in environ:  # `kubectl exec deploy/NAME` picks any pod, mostly an old one
        notes += (f"checked in pod {socket.gethostname()}",)
    if environ.get(RUN_DIRECTORY):
        notes += _kill_notes(environ)
    report = report._replace(notes=notes)
    if tier is Tier.DEEP:
        from model_cache.check.deep import find_unlisted  # here: the fast tier does not need it

        report = report._replace(unlisted=find_unlisted(places))
    if any(model.serving.precision is not Precision.FP32 for model in models) or has_forms(places):
        report = report._replace(prepared=_check_forms(options, selection, places, tier, environ))
    return report


def _check_forms(
    options: SharedOptions, selection: _Selection, places: Places, tier: Tier, environ: Mapping[str, str]
) -> "tuple[FormReport, ...]":
    from model_cache.check.prepared_forms import check_forms  # here: most caches have no forms

    return check_forms(
        selection.models, places, tier, functools.partial(prepare_command, options, environ), selection.lock
    )


def _with_required_forms(report: CheckReport) -> CheckReport:
    """Return a report whose reason and problems include those of the forms that the catalog asks for."""
    problems = [problem for form in report.prepared if form.asked for problem in form.problems]
    reason = worst_reason([report.reason, *(problem.reason for problem in problems)])
    return report._replace(reason=reason, problems=(*report.problems, *problems))


def _warm_advice(places: Places, generation: str, environ: Mapping[str, str]) -> "WarmAdvice | None":
    """Return what the last warm means for missing files, and what the worker of this container waits for."""
    from datetime import UTC, datetime  # here, with the next: a complete cache does not need them

    from model_cache.run_record import read_run_record, run_record_path
    from model_cache.warm_status import advise_on_missing

    path = run_record_path(environ)
    record = read_run_record(path) if path is not None else None
    started = datetime.fromtimestamp(record.started, UTC) if record is not None else None
    return advise_on_missing(places, generation, datetime.now(UTC), started)


def _kill_notes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the note on the last run of the worker in this pod that was killed."""
    from model_cache.run_record import read_run_record, run_record_path  # here: most containers have none

    path = run_record_path(environ)
    record = read_run_record(path) if path is not None else None
    return (str(record.kill),) if record is not None and record.kill is not None else ()


def _warm_notes(places: Places, generation: str) -> tuple[str, ...]:
    """Return the note on the last warm, which may explain what is missing."""
    from datetime import UTC, datetime  # here, with the next: a complete cache does not need them

    from model_cache.warm_status import describe_warm

    note = describe_warm(places, generation, datetime.now(UTC))
    return (note,) if note else ()


def _progress(stderr: TextIO) -> ProgressCallback:
    from model_cache.check.progress import progress_printer  # here: the fast tier shows none

    return progress_printer(stderr, PROGRAM)


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=PROGRAM,
        description="Compare the cache with what the catalog needs: names, links and sizes of all files.",
        epilog=_EPILOG,
    )
    parser.add_completion()
    add_shared_options(parser)
    parser.add_argument("--deep", action="store_true", help="also read every file and compare its sha256")
    parser.add_argument(
        "--load",
        action="store_true",
        help="also load each model and compare its answers with those in the lock",
    )
    parser.add_argument(
        "--record",
        metavar="FILE",
        help="load each model and write its answers into this lock instead of comparing them",
    )
    LOAD_TIMEOUT.add_to(parser)
    parser.add_argument(
        "--prepared",
        action="store_true",
        help="also require the prepared forms that the catalog asks for (default: only report them)",
    )
    parser.add_argument(
        "--paths",
        action="store_true",
        help="list the folder of each model instead of the table",
    )
    parser.add_version()
    return parser


if __name__ == "__main__":
    main()
